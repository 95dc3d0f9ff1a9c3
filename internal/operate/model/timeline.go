package model

import (
	"cmp"
	"slices"
)

const (
	maxBuckets = 200 // of time, in a series
	defaultRow = 2000
)

// durations are the upper ends of the buckets of a histogram, in milliseconds.
var durations = []int64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 5_000_000, 100_000_000}

// timeline is when the states, the iterations and the children of an execution ran.
func (r *reader) timeline() Timeline {
	t := Timeline{Maps: r.series}
	for _, v := range r.journey.root.visits {
		t.Spans = append(t.Spans, Span{
			Path: v.path(), Start: v.start, End: v.end, Status: v.status, Retries: v.retries(), Error: v.error, EventID: v.event,
		})
	}
	index := map[string]int{}
	for i, s := range r.doc.States {
		index[keyOf(s.Path)] = i
	}
	inside := r.spans
	for _, v := range r.journey.maps {
		if v.mapRun != "" {
			continue
		}
		s := series{}
		for _, i := range v.order {
			s.add(i.start, i.end, i.status)
			inside = append(inside, i.span(index))
		}
		t.Maps = append(t.Maps, s.of(v, v.start, r.doc.Run.Milliseconds))
	}
	t.add(inside, r.options.Rows)
	return t
}

// add puts as many of the spans as there is room for: first those that failed, then by their start.
func (t *Timeline) add(spans []Span, rows int) {
	if room := max(0, rows-len(t.Spans)); len(spans) > room {
		slices.SortStableFunc(spans, func(a, b Span) int {
			return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Start, b.Start))
		})
		t.Omitted += len(spans) - room
		spans = spans[:room]
	}
	t.Spans = append(t.Spans, spans...)
	slices.SortStableFunc(t.Spans, func(a, b Span) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.EventID, b.EventID)) })
}

func rank(s Span) int {
	if s.Status == Failed || s.Error != "" {
		return 0
	}
	return 1
}

func (f *frame) span(index map[string]int) Span {
	s := Span{Path: f.path(), Index: ptr(f.index), Start: f.start, End: f.end, Status: f.status, Error: f.error, EventID: f.event}
	for _, v := range f.visits {
		s.Steps = append(s.Steps, [3]int64{int64(index[keyOf(v.path())]), v.start, v.end})
		s.Retries += v.retries()
		if s.Error == "" && v.status == Failed {
			s.Error = v.error
		}
	}
	return s
}

// series collects the iterations or the children of a Map state.
type series struct {
	list []ran
}

type ran struct {
	start, end int64 // end is -1 while it runs
	status     string
}

func (s *series) add(start, end int64, status string) {
	s.list = append(s.list, ran{start, end, status})
}

// of is the series of a visit. start is that of the first visit, if a redrive has continued it; now is the end of what still runs.
func (s *series) of(v *visit, start, now int64) MapSeries {
	m := MapSeries{Path: v.path(), Start: start, End: v.end, Total: max(len(s.list), v.length)}
	end := v.end
	if end < 0 {
		end = now
	}
	end = max(end, start) // the history can be newer than the description that says when now is, and its times can be out of order
	m.StepMS = max(1, (end-start+maxBuckets)/maxBuckets)
	m.Series = make([][3]int, (end-start)/m.StepMS+1)
	at := func(ms int64) int { return int(min(max(0, ms-start)/m.StepMS, int64(len(m.Series)-1))) }
	counts := make([]int, len(durations))
	began := make([]int, len(m.Series))
	for _, r := range s.list {
		began[at(r.start)]++
		switch r.status {
		case Running:
			m.Running++
			continue
		case Succeeded:
			m.Succeeded++
		case Failed, TimedOut:
			m.Failed++
			m.Series[at(r.end)][2]++
		default:
			m.Aborted++
		}
		m.Series[at(r.end)][1]++
		bucket, _ := slices.BinarySearch(durations, r.end-r.start)
		counts[min(bucket, len(counts)-1)]++
	}
	running := 0
	for i := range m.Series {
		running += began[i] - m.Series[i][1]
		m.Series[i][0] = running
	}
	m.Durations = buckets(counts)
	return m
}

// buckets are the counts without the empty ones at both ends.
func buckets(counts []int) []Bucket {
	first := slices.IndexFunc(counts, func(n int) bool { return n > 0 })
	if first < 0 {
		return []Bucket{}
	}
	last := len(counts) - 1
	for counts[last] == 0 {
		last--
	}
	list := make([]Bucket, 0, last-first+1)
	for i := first; i <= last; i++ {
		list = append(list, Bucket{durations[i], counts[i]})
	}
	return list
}
