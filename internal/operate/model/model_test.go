package model

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carnation/internal/operate"
	"carnation/internal/operate/model/recording"
)

var documents = flag.String("documents", "", "folder to write the documents of all recordings to")

// open is a recording, and the stack that asks its player.
func open(t testing.TB, name string) (*recording.Player, *operate.Stack) {
	t.Helper()
	r, err := recording.Open(filepath.Join("testdata", name+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	p := r.Player()
	return p, p.Stack()
}

// document is what Read makes of a recording, at the time of the recording.
func document(t testing.TB, name string, options Options) *Document {
	t.Helper()
	p, _ := open(t, name)
	return documentOf(t, p, options)
}

func documentOf(t testing.TB, p *recording.Player, options Options) *Document {
	t.Helper()
	r := newReader(p.Stack(), options)
	r.limits = newLimits()
	r.now = p.At
	d, err := r.read(t.Context(), p.Arn)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// names are those of all recordings.
func names(t testing.TB) (list []string) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata has %d recordings: %v", len(files), err)
	}
	for _, file := range files {
		list = append(list, strings.TrimSuffix(filepath.Base(file), ".json.gz"))
	}
	return list
}

// TestWriteDocuments writes the documents of all recordings, for the work on what shows them: go test -run TestWriteDocuments -documents /tmp/documents
func TestWriteDocuments(t *testing.T) {
	if *documents == "" {
		t.Skip("writes only with -documents")
	}
	all := map[string]*Document{
		"distributed-10000-shards":        documentOf(t, large(t, 10_000, 0).Player(), Options{}),
		"distributed-10000-shards-failed": documentOf(t, large(t, 10_000, 3).Player(), Options{}),
	}
	for _, name := range names(t) {
		all[name] = document(t, name, Options{})
	}
	for name, d := range all {
		text, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*documents, name+".json"), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
