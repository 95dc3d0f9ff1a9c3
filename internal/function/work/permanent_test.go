package work

import (
	"errors"
	"fmt"
	"testing"
)

func TestPermanentMarksAnError(t *testing.T) {
	cause := errors.New("no such order")
	err := fmt.Errorf("insert event 7: %w", Permanent(cause))
	if !IsPermanent(err) || !errors.Is(err, cause) || err.Error() != "insert event 7: no such order" {
		t.Errorf("permanent: %t, %v; want true, with its cause and its text", IsPermanent(err), err)
	}
	if IsPermanent(cause) || IsPermanent(nil) || Permanent(nil) != nil {
		t.Error("an error that is not marked, or no error, is permanent")
	}
}
