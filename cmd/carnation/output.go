package main

import (
	"encoding/json"
	"fmt"
	"io"

	"carnation/internal/operate"
)

func printQueues(w io.Writer, q operate.Queues) error {
	_, err := fmt.Fprintf(w, "retry queue: %d waiting, %d in flight; dead-letter queue: %d\n", q.Retry, q.InFlight, q.DeadLetter)
	return err
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false) // of payloads, too
	return encoder.Encode(value)
}
