package console

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/http"
	"path"

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

// kinds are those of the files of the page. Others are text, such as licences. The Content-Types that the machine knows could be wrong, and
// with nosniff a browser then refuses the file.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
	".png": "image/png", ".ico": "image/x-icon", ".woff2": "font/woff2", ".json": "application/json", "": "text/plain; charset=utf-8",
}

// readAssets reads the files of the page, by their paths on the server.
func readAssets() (map[string]asset, error) {
	read := map[string]asset{}
	err := fs.WalkDir(assets.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := assets.Files.ReadFile(name)
		if err != nil {
			return err
		}
		kind, known := kinds[path.Ext(name)]
		if !known {
			kind = kinds[""]
		}
		read["/assets/"+name] = asset{content, kind, fmt.Sprintf(`"%x"`, sha256.Sum256(content))}
		return nil
	})
	if err != nil {
		return nil, err
	}
	page := read["/assets/index.html"]
	if !bytes.Contains(page.content, []byte(tokenPlace)) {
		return nil, fmt.Errorf("index.html has no %s", tokenPlace)
	}
	read[index] = page
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
