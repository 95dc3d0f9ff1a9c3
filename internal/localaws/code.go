package localaws

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// codeStore has the unpacked code of functions. Functions with the same code share a folder, because nothing may write there. The
// zip files are large: to unpack them anew for each stack would take longer than to create it.
type codeStore struct {
	dir string

	mu      sync.Mutex
	folders map[string]string // by the hash of the zip
}

func newCodeStore(dir string) *codeStore { return &codeStore{dir: dir, folders: map[string]string{}} }

// folder returns the folder with the function's code.
func (c *codeStore) folder(ctx context.Context, fn *function) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if folder, ok := c.folders[fn.codeSHA256]; ok && fn.codeSHA256 != "" {
		return folder, nil
	}
	folder, err := c.unpack(ctx, fn)
	if err == nil {
		c.folders[fn.codeSHA256] = folder
	}
	return folder, err
}

// unpack writes the function's code into a new folder, and returns it.
func (c *codeStore) unpack(ctx context.Context, fn *function) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fn.codeURL, nil)
	if err != nil {
		return "", fmt.Errorf("code of %s: %w", fn.name, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("code of %s: %w", fn.name, err)
	}
	defer response.Body.Close()
	data, err := readAll(response.Body, response.ContentLength)
	if err != nil {
		return "", fmt.Errorf("code of %s: %w", fn.name, err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("code of %s: %s from %s", fn.name, response.Status, fn.codeURL)
	}
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return "", fmt.Errorf("code of %s: %w", fn.name, err)
	}
	dir, err := os.MkdirTemp(c.dir, fn.name+"-")
	if err != nil {
		return "", err
	}
	for _, file := range archive.File {
		if err := unpackFile(dir, file); err != nil {
			return "", fmt.Errorf("code of %s: %w", fn.name, err)
		}
	}
	return dir, nil
}

func unpackFile(dir string, file *zip.File) error {
	if !filepath.IsLocal(file.Name) {
		return fmt.Errorf("%s leads out of the zip", file.Name)
	}
	path := filepath.Join(dir, file.Name)
	if file.FileInfo().IsDir() {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	in, err := file.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	data, err := readAll(in, int64(file.UncompressedSize64))
	if err != nil {
		return err
	}
	// A process that is forked while the file is open for writing has it open too, until it executes its own program. For so
	// long, the file cannot be executed: text file busy. https://go.dev/issue/22315
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, data, file.Mode().Perm()|0o400)
}

// readAll is io.ReadAll with the expected size, which need not be true. Without it, large files are copied several times.
func readAll(r io.Reader, size int64) ([]byte, error) {
	data := bytes.NewBuffer(make([]byte, 0, max(0, min(size, 64<<20))+bytes.MinRead))
	_, err := data.ReadFrom(r)
	return data.Bytes(), err
}
