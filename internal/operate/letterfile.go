package operate

import (
	"fmt"
	"os"
	"path/filepath"

	"carnation/internal/event"
)

// WriteDeadLetters is the lines of an export: one JSON object for each dead letter.
func WriteDeadLetters(letters []*DeadLetter) ([]byte, error) {
	var lines []byte
	for _, letter := range letters {
		line, err := event.Encode(letter)
		if err != nil {
			return nil, fmt.Errorf("write message %s: %w", letter.MessageID, err)
		}
		lines = append(append(lines, line...), '\n')
	}
	return lines, nil
}

// LetterFile is a file of dead letters that are safe there once Keep has returned. The file is created by the first of them, so that there is
// none without dead letters. Only its owner can read it, because payloads are nobody else's business.
type LetterFile struct {
	Path string
	file *os.File
}

// NewLetterFile fails if there is a file already.
func NewLetterFile(path string) (*LetterFile, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s exists: must be a new file", path)
	} else if !os.IsNotExist(err) {
		return nil, err
	}
	return &LetterFile{Path: path}, nil
}

// Keep adds dead letters to the file, and returns when the disk has them.
func (f *LetterFile) Keep(letters []*DeadLetter) error {
	lines, err := WriteDeadLetters(letters)
	if err != nil {
		return err
	}
	if f.file == nil {
		if f.file, err = os.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return err
		}
		if err := syncFolder(filepath.Dir(f.Path)); err != nil {
			return err
		}
	}
	if _, err := f.file.Write(lines); err != nil {
		return err
	}
	return f.file.Sync()
}

// syncFolder makes the name of a new file safe.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// Close closes the file, if there is one.
func (f *LetterFile) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
