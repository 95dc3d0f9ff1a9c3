package console

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"

	"carnation/internal/console/assets"
)

// asset is a file of the page.
type asset struct {
	content []byte
	kind    string // its Content-Type
	tag     string // its ETag
}

// index is the path of the page itself. It has the token in the place of tokenPlace.
const (
	index      = "/"
	tokenPlace = "{{.Token}}"
)

// readAssets reads the files of the page, by their paths on the server.
func readAssets() (map[string]asset, error) {
	page, err := assets.Files.ReadFile("index.html")
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(page, []byte(tokenPlace)) {
		return nil, fmt.Errorf("index.html has no %s", tokenPlace)
	}
	style, script := assets.Page()
	read := map[string]asset{}
	for name, file := range map[string]asset{
		index: {content: page, kind: "text/html; charset=utf-8"}, "/assets/page.css": {content: []byte(style), kind: "text/css; charset=utf-8"},
		"/assets/page.js": {content: []byte(script), kind: "text/javascript; charset=utf-8"},
	} {
		file.tag = fmt.Sprintf(`"%x"`, sha256.Sum256(file.content))
		read[name] = file
	}
	return read, nil
}

// serveAsset serves the files of the page, and nothing else.
func (c *Console) serveAsset(w http.ResponseWriter, r *http.Request) {
	file, ok := c.assets[r.URL.Path]
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		writeError(w, &apiError{http.StatusNotFound, KindNotFound, "there is no such file"})
		return
	}
	w.Header().Set("Content-Type", file.kind)
	if r.URL.Path == index { // which is never stored, because every console has its own token
		w.Write(bytes.ReplaceAll(file.content, []byte(tokenPlace), []byte(c.token)))
		return
	}
	w.Header().Set("Cache-Control", "no-cache") // ask whether it has changed
	w.Header().Set("ETag", file.tag)
	if r.Header.Get("If-None-Match") == file.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Write(file.content)
}
