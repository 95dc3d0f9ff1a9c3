package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"carnation/internal/operate"
)

// plainEvery is the time between two lines where a line cannot be overwritten.
const plainEvery = 5 * time.Second

// progress shows how far an operation is: in one line that is overwritten on a terminal, or in a new line every few seconds
// elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	last     time.Time
	shown    int // characters in the terminal's line
}

func newProgress(w io.Writer) *progress {
	file, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && term.IsTerminal(int(file.Fd()))}
}

func (p *progress) showRun(now operate.Progress) {
	elapsed := now.Elapsed.Round(time.Second)
	if now.Shards != nil {
		p.show(fmt.Sprintf("%s, %s", now.Shards, elapsed), true)
		return
	}
	p.show(fmt.Sprintf("%d of %d events done, %d failed so far, %s", now.Done, now.Total, now.Failed, elapsed), now.Total > 0)
}

// showBytes shows how much of something is done: as a bar on a terminal.
func (p *progress) showBytes(what string, done, total int64) {
	const width = 30
	share := 1.0
	if total > 0 {
		share = float64(done) / float64(total)
	}
	bar := ""
	if p.terminal {
		filled := int(share * width)
		bar = "[" + strings.Repeat("#", filled) + strings.Repeat(".", width-filled) + "] "
	}
	p.show(fmt.Sprintf("%s%.0f %% of %.1f MB %s", bar, 100*share, float64(total)/1e6, what), true)
}

// show shows a line. If the total is not yet known, only a terminal gets the line.
func (p *progress) show(line string, totalKnown bool) {
	if p.terminal {
		fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", max(0, p.shown-len(line))))
		p.shown = len(line)
	} else if totalKnown && time.Since(p.last) >= plainEvery {
		fmt.Fprintln(p.w, line)
		p.last = time.Now()
	}
}

// clear removes the terminal's line.
func (p *progress) clear() {
	if p.shown > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.shown))
		p.shown = 0
	}
}
