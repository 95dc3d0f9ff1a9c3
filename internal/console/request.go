package console

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"time"
)

const (
	// maxBody is the most bytes of a request, other than a file of events. All that fits in the input of a run fits.
	maxBody = 2 << 20
	// bodyTimeout is the time to send the body of a request.
	bodyTimeout = 30 * time.Second
)

// readBody reads the JSON of a request into value.
func readBody(w http.ResponseWriter, r *http.Request, value any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return invalid("the Content-Type is %q: must be application/json", r.Header.Get("Content-Type"))
	}
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return err
	}
	http.NewResponseController(w).SetReadDeadline(time.Time{})
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(value); err != nil {
		return invalid("the request is not what it must be: %v", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return invalid("the request has more than one JSON value")
	}
	return nil
}

// download makes the answer a file for whoever looks at the page.
func download(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Type", "application/jsonl")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
}

// compact is JSON without white space. Its numbers stay as they are written.
func compact(value json.RawMessage) (json.RawMessage, error) {
	var text bytes.Buffer
	if err := json.Compact(&text, value); err != nil {
		return nil, invalid("payload is missing, or not JSON: %v", err)
	}
	return text.Bytes(), nil
}
