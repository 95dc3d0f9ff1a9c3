package model

import "testing"

func TestSentenceOfARunWithOneEvent(t *testing.T) {
	none, one := 0, 1
	for _, test := range []struct {
		outcome Outcome
		status  string
		want    string
	}{
		{Outcome{Generated: &one, Claimed: &none, Inserted: &one, Failed: &none, Returned: &none, Dead: &none}, "SUCCEEDED", "The event was inserted"},
		{Outcome{Generated: &none, Claimed: &one, Inserted: &none, Failed: &one, Returned: &one, Dead: &none}, "FAILED", "The event was not inserted; it was returned to the retry queue"},
		{Outcome{Generated: &none, Claimed: &one, Inserted: &none, Failed: &one, Returned: &none, Dead: &one}, "FAILED", "The event was not inserted; it went to the dead-letter queue"},
	} {
		if test.outcome.say(test.status, EventsFailed, nil); test.outcome.Sentence != test.want {
			t.Errorf("sentence is %q, want %q", test.outcome.Sentence, test.want)
		}
	}
}
