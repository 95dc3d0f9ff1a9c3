package console

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"carnation/internal/event"
)

const (
	// heartbeat is how often a stream says that it is still there, although nothing has changed.
	heartbeat = 15 * time.Second
	// writeTimeout ends a stream whose page does not read any more.
	writeTimeout = 20 * time.Second
)

// stream sends what changes, as Server-Sent Events. A page that begins, or comes back after it was asleep, gets the whole present state.
func (c *Console) stream(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	poller, err := c.pollers.of(query.Get("stack"))
	if err != nil {
		writeError(w, err)
		return
	}
	watcher := poller.watch(query.Get("run"))
	defer poller.unwatch(watcher)
	w.Header().Set("Content-Type", "text/event-stream")
	connection := http.NewResponseController(w)
	ticker := time.NewTicker(c.heartbeat)
	defer ticker.Stop()
	text := []byte("retry: 2000\n\n")
	for version := 0; ; {
		var changes []Change
		changes, version = poller.since(version, watcher)
		for _, change := range changes {
			data, err := event.Encode(change.Data) // which has no line breaks
			if err != nil {
				return
			}
			text = fmt.Appendf(text, "event: %s\ndata: %s\n\n", change.Event, bytes.TrimSpace(data))
		}
		if len(text) > 0 {
			connection.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := w.Write(text); err != nil || connection.Flush() != nil {
				return
			}
			text = text[:0]
		}
		select {
		case <-watcher.changed:
		case <-ticker.C:
			text = append(text, ": still here\n\n"...)
		case <-r.Context().Done():
			return
		case <-c.pollers.ctx.Done():
			return
		}
	}
}

func (c *Console) getOverview(w http.ResponseWriter, r *http.Request) error {
	poller, err := c.pollers.of(r.URL.Query().Get("stack"))
	if err != nil {
		return err
	}
	if poller.name == "" {
		return invalid("stack is missing: must be the name of a stack")
	}
	overview, err := poller.fresh(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, overview)
}
