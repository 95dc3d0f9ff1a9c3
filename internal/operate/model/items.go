package model

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/event"
	"carnation/internal/operate"
)

// Names of states that say what became of an event, besides those in operate. The tests of the state machines hold them.
const (
	returnEvents  = "Return Failed Events"
	returnClaimed = "Return Claimed Events" // of a shard
	eventInserted = "Event Inserted"
	park          = "Park New Event"
	release       = "Release Claimed Event"
	comesBack     = "Comes Back By Itself"
	movedBySQS    = "Moved By SQS"
)

const maxEventIDs = 20

// answers are what the functions of one execution answered, as far as a document needs it. Step Functions has accepted them.
type answers struct {
	payloads bool
	items    []Item      // of generate-data, or of a batch
	asked    bool        // whether generate-data has answered
	plan     *event.Plan // of plan-shards
	uri      string      // of the source of your own events
	counts   *[3]int     // inserted, returned, dead: of a shard, or of plan-shards at the end
	results  map[*visit][3]int
	ended    map[*visit]int // results of a Map state
	errors   map[*frame]string
	waiting  map[*visit]answer // until their state is exited
}

// answer is what any function answers.
type answer struct {
	Items []struct {
		Event   event.Event
		Receipt string `json:"receipt_handle"`
	}
	Plan     *event.Plan
	Source   *struct{ URI string }
	Inserted *int
	Returned *int
	Dead     *int
	Failed   json.RawMessage
}

func newAnswers(payloads bool) *answers {
	return &answers{payloads: payloads, results: map[*visit][3]int{}, ended: map[*visit]int{}, errors: map[*frame]string{}, waiting: map[*visit]answer{}}
}

// see takes an event of the history.
func (a *answers) see(e types.HistoryEvent, v *visit) {
	switch {
	case v == nil:
	case e.TaskSucceededEventDetails != nil && v.frame.of == nil:
		var output struct{ Payload answer }
		if json.Unmarshal([]byte(aws.ToString(e.TaskSucceededEventDetails.Output)), &output) != nil {
			delete(a.waiting, v)
			return
		}
		a.waiting[v] = output.Payload
	case e.StateExitedEventDetails == nil:
	case v.kind == "Task" && v.frame.of == nil:
		if given, ok := a.waiting[v]; ok && !v.caught {
			a.take(given)
		}
		delete(a.waiting, v)
	case v.kind == "Pass" && (v.name == operate.EventFailed || v.name == operate.InvocationFailed):
		var output struct{ Failed struct{ Error string } }
		if json.Unmarshal([]byte(aws.ToString(e.StateExitedEventDetails.Output)), &output) == nil {
			a.errors[v.frame] = output.Failed.Error
		}
	case v.kind == "Map" && v.mapRun != "":
		a.takeResults(v, aws.ToString(e.StateExitedEventDetails.Output))
	}
}

func (a *answers) take(given answer) {
	switch {
	case given.Plan != nil && given.Plan.ShardSize > 0:
		a.plan = given.Plan
		if given.Source != nil {
			a.uri = given.Source.URI
		}
	case given.Items != nil:
		a.items, a.asked = a.items[:0], true
		for i, item := range given.Items {
			one := Item{
				Index: i, SequenceNo: item.Event.SequenceNo, RandomValue: item.Event.RandomValue,
				Claimed: item.Receipt != "", RetryAttempt: item.Event.RetryAttempt, units: unitsOf(item.Event.Payload),
			}
			if a.payloads {
				one.Payload = item.Event.Payload
			}
			a.items = append(a.items, one)
		}
	case given.Inserted != nil && given.Returned != nil && given.Dead != nil:
		a.counts = &[3]int{*given.Inserted, *given.Returned, *given.Dead}
	}
}

// takeResults adds up the results of the children of a Map state: those of this visit are the last in its output.
func (a *answers) takeResults(v *visit, output string) {
	var state struct {
		Results struct{ Last, Records [][3]int }
	}
	if json.Unmarshal([]byte(output), &state) != nil {
		return
	}
	list := state.Results.Last
	if state.Results.Records != nil {
		list = state.Results.Records
	}
	var sum [3]int
	for _, one := range list {
		for i, n := range one {
			sum[i] += n
		}
	}
	a.results[v], a.ended[v] = sum, len(list)
}

// done tells whether a state of this name was left in the frame.
func (f *frame) done(name string) bool {
	return slices.ContainsFunc(f.visits, func(v *visit) bool { return v.name == name && v.status == Succeeded })
}

// iterations are those of all visits of a Map state, by index: a redrive runs only those again that have not succeeded.
func (j *journey) iterations(name string) map[int][]*frame {
	all := map[int][]*frame{}
	for _, v := range j.maps {
		if v.name == name && v.frame.of == nil {
			for _, i := range v.order {
				all[i.index] = append(all[i.index], i)
			}
		}
	}
	return all
}

// decisive is the iteration that has the result: the last one that succeeded, or else the last one.
func decisive(frames []*frame) *frame {
	for i := len(frames) - 1; i >= 0; i-- {
		if frames[i].status == Succeeded {
			return frames[i]
		}
	}
	if len(frames) == 0 {
		return nil
	}
	return frames[len(frames)-1]
}

// followItems sets what became of each item of an inline run.
func (j *journey) followItems(a *answers) {
	processed, returned := j.iterations(operate.ProcessEvents), j.iterations(returnEvents)
	failures := 0
	for n := range a.items {
		item := &a.items[n]
		frames := processed[item.Index]
		f := decisive(frames)
		item.EventIDs = idsOf(frames)
		switch {
		case f == nil || f.status != Succeeded:
			item.Status = ItemUnknown
			if j.root.status == Running {
				item.Status = ItemRunning
			}
			if f != nil {
				item.Error = f.error
			}
		case f.done(eventInserted):
			item.Status = ItemInserted
		case f.done(operate.EventIsDead):
			item.Status = ItemBuried
		default:
			item.Error = a.errors[f]
			frames := returned[failures]
			failures++
			item.EventIDs = append(item.EventIDs, idsOf(frames)...)
			item.Status = j.whereReturned(decisive(frames), item.Claimed)
		}
		item.EventIDs = item.EventIDs[:min(len(item.EventIDs), maxEventIDs)]
	}
}

// whereReturned is where a failed event is. f is its iteration of the Map state that gives events back, or nil.
func (j *journey) whereReturned(f *frame, claimed bool) string {
	switch {
	case f != nil && f.done(park):
		return ItemParked
	case f != nil && (f.done(operate.DeleteBuried) || f.done(movedBySQS)):
		return ItemBuried
	case f != nil && f.done(release):
		return ItemReleased
	case f != nil && f.done(comesBack):
		return ItemReturning
	case j.root.status == Running:
		return ItemRunning
	case claimed:
		return ItemReturning
	}
	return ItemUnknown
}

func idsOf(frames []*frame) (ids []int64) {
	for _, f := range frames {
		ids = append(ids, f.ids...)
	}
	return ids
}

// sum counts what became of the items.
func (o *Outcome) sum(items []Item) {
	var generated, claimed, inserted, returned, dead, failed int
	for _, item := range items {
		if item.Claimed {
			claimed++
		} else {
			generated++
		}
		switch item.Status {
		case ItemInserted:
			inserted++
		case ItemParked, ItemReleased, ItemReturning:
			returned++
			failed++
		case ItemBuried:
			dead++
			failed++
		case ItemUnknown, ItemRunning:
			if item.Error != "" {
				failed++
			}
		}
	}
	*o = Outcome{Generated: &generated, Claimed: &claimed, Inserted: &inserted, Failed: &failed, Returned: &returned, Dead: &dead}
}

// group are the items of a document: groups, and single ones.
func group(items []Item, rows int) Items {
	out := Items{Total: len(items)}
	counts := map[[2]string]int{}
	for _, item := range items {
		counts[[2]string{item.Status, item.Error}]++
	}
	for key, n := range counts {
		out.Groups = append(out.Groups, ItemGroup{Status: key[0], Error: key[1], Count: n})
	}
	out.sort()
	sorted := slices.Clone(items)
	slices.SortStableFunc(sorted, func(a, b Item) int {
		if a.Status == ItemInserted != (b.Status == ItemInserted) {
			if a.Status == ItemInserted {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.Index, b.Index)
	})
	out.Rows = sorted[:min(len(sorted), rows)]
	out.Omitted = len(sorted) - len(out.Rows)
	return out
}

func (i *Items) sort() {
	slices.SortFunc(i.Groups, func(a, b ItemGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Status, b.Status), cmp.Compare(a.Error, b.Error))
	})
}
