// Command plot draws the time of runs by number of events, from the output of `make bench`: plot RESULTS SVG.
package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// A line of BenchmarkRuns; several lines of the same run are several points.
var line = regexp.MustCompile(`^BenchmarkRuns/mode=(\w+)/events=(\d+)\S*\s.*?\s([0-9.]+) events/s`)

func main() {
	if err := draw(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func draw(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("arguments are %q: must be RESULTS SVG", args)
	}
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	points := map[string]plotter.XYs{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if m := line.FindStringSubmatch(lines.Text()); m != nil {
			events, _ := strconv.ParseFloat(m[2], 64) // digits
			perSecond, err := strconv.ParseFloat(m[3], 64)
			if err != nil || perSecond == 0 {
				return fmt.Errorf("%s: %q is not a number of events a second", args[0], m[3])
			}
			points[m[1]] = append(points[m[1]], plotter.XY{X: events, Y: events / perSecond})
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if len(points["inline"]) == 0 || len(points["distributed"]) == 0 {
		return fmt.Errorf("%s has no lines of BenchmarkRuns in both modes", args[0])
	}
	p := plot.New()
	p.Title.Text = "Whole runs on local AWS"
	p.X.Label.Text, p.Y.Label.Text = "events", "seconds"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogTicks{Prec: -1}, plot.LogTicks{Prec: -1}
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	if err := plotutil.AddLinePoints(p, "inline", points["inline"], "distributed", points["distributed"]); err != nil {
		return err
	}
	return p.Save(6*vg.Inch, 4*vg.Inch, args[1])
}
