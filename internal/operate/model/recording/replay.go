package recording

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"carnation/internal/operate"
)

// Player answers the calls of the AWS SDK from a recording, as AWS would. It is the HTTP client of a configuration.
type Player struct {
	*Recording
	mu    sync.Mutex
	calls map[string]int
	lines map[string][]json.RawMessage // by what a call of FilterLogEvents asks for
	read  map[*byte]logEvent           // by the first byte of the line, so that each is read once
	// Refuse makes an operation fail with a type of error, such as ThrottlingException.
	Refuse map[string]string
}

// Player is one of the recording.
func (r *Recording) Player() *Player {
	return &Player{Recording: r, calls: map[string]int{}, lines: map[string][]json.RawMessage{}, read: map[*byte]logEvent{}, Refuse: map[string]string{}}
}

// Config is a configuration whose clients ask the player.
func (p *Player) Config() aws.Config {
	return aws.Config{
		Region: p.Region, HTTPClient: p, Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// Stack is the stack of the recorded run, whose clients ask the player.
func (p *Player) Stack() *operate.Stack {
	return &operate.Stack{
		Name: p.Name, State: "CREATE_COMPLETE", Config: p.Config(), Outputs: p.Outputs, Parameters: p.Parameters,
		StateMachineArn: p.StateMachineArn, Distributed: p.Outputs["MapMode"] == "DISTRIBUTED",
	}
}

// Calls is how often an operation was called.
func (p *Player) Calls(operation string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[operation]
}

// request has the parameters of all operations.
type request struct {
	ExecutionArn         string
	MapRunArn            string
	StatusFilter         string
	MaxResults           int
	NextToken            string
	ReverseOrder         bool
	IncludeExecutionData *bool
	LogGroupName         string
	FilterPattern        string
	StartTime, EndTime   int64
	Limit                int
}

// Do answers a call.
func (p *Player) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	target := r.Header.Get("X-Amz-Target")
	operation := target[strings.LastIndex(target, ".")+1:]
	var in request
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.calls[operation]++
	refusal := p.Refuse[operation]
	p.mu.Unlock()
	status, answer := http.StatusOK, any(nil)
	if refusal == "" {
		answer, refusal = p.answer(operation, in)
	}
	if refusal != "" {
		status, answer = http.StatusBadRequest, map[string]string{"__type": refusal, "message": "refused"}
	}
	body, err := json.Marshal(answer)
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(bytes.NewReader(body)),
	}, err
}

func (p *Player) answer(operation string, in request) (answer any, refusal string) {
	one := func(from map[string]json.RawMessage, key, missing string) (any, string) {
		if found, ok := from[key]; ok {
			return found, ""
		}
		return nil, missing
	}
	switch operation {
	case "DescribeExecution":
		return one(p.Executions, in.ExecutionArn, "ExecutionDoesNotExist")
	case "DescribeStateMachineForExecution":
		if _, ok := p.Machines[in.ExecutionArn]; !ok {
			for arn, machine := range p.Machines { // that of another child of the Map Run is the same
				if before, _, _ := cut(arn); strings.HasPrefix(in.ExecutionArn, before+":") && strings.Contains(before, "/") {
					return machine, ""
				}
			}
		}
		return one(p.Machines, in.ExecutionArn, "ExecutionDoesNotExist")
	case "GetExecutionHistory":
		events, ok := p.Histories[in.ExecutionArn]
		if !ok {
			return nil, "ExecutionDoesNotExist"
		}
		events = slices.Clone(events)
		if in.ReverseOrder {
			slices.Reverse(events)
		}
		events, next := page(events, in)
		if in.IncludeExecutionData != nil && !*in.IncludeExecutionData {
			for i := range events {
				events[i] = withoutData(events[i])
			}
		}
		return listOf("events", events, next), ""
	case "ListMapRuns":
		runs, next := page(p.MapRunsOf[in.ExecutionArn], in)
		return listOf("mapRuns", runs, next), ""
	case "DescribeMapRun":
		return one(p.MapRuns, in.MapRunArn, "ResourceNotFound")
	case "ListExecutions":
		if p.Express {
			return nil, "StateMachineTypeNotSupported"
		}
		var wanted []json.RawMessage
		for _, child := range p.Children[in.MapRunArn] {
			var execution struct{ Status string }
			if json.Unmarshal(child, &execution) == nil && (in.StatusFilter == "" || in.StatusFilter == execution.Status) {
				wanted = append(wanted, child)
			}
		}
		wanted, next := page(wanted, in)
		return listOf("executions", wanted, next), ""
	case "FilterLogEvents":
		lines, ok := p.Logs[in.LogGroupName]
		if !ok {
			return nil, "ResourceNotFoundException"
		}
		wanted := p.filtered(lines, in)
		in.MaxResults = in.Limit
		wanted, next := page(wanted, in)
		return listOf("events", wanted, next), ""
	}
	return nil, "UnknownOperationException"
}

func cut(arn string) (before, name string, found bool) {
	i := strings.LastIndex(arn, ":")
	return arn[:max(i, 0)], arn[i+1:], i >= 0
}

// logEvent is what a call of FilterLogEvents chooses a line by.
type logEvent struct {
	Message   string
	Timestamp int64
}

// filtered are the lines that a call asks for. They are the same for all pages.
func (p *Player) filtered(lines []json.RawMessage, in request) []json.RawMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := fmt.Sprint(in.LogGroupName, in.FilterPattern, in.StartTime, in.EndTime)
	if in.NextToken != "" && p.lines[key] != nil {
		return p.lines[key]
	}
	wanted := []json.RawMessage{}
	for _, line := range lines {
		event, known := p.read[&line[0]]
		if !known {
			if json.Unmarshal(line, &event) != nil {
				continue
			}
			p.read[&line[0]] = event
		}
		if event.Timestamp >= in.StartTime && (in.EndTime == 0 || event.Timestamp <= in.EndTime) && matches(event.Message, in.FilterPattern) {
			wanted = append(wanted, line)
		}
	}
	p.lines[key] = wanted
	return wanted
}

// condition is one of a filter pattern.
var condition = regexp.MustCompile(`^\$\.(\w+) (!?=) (".*")$`)

// matches knows patterns such as { $.field = "text" && $.other != "text" }, and the empty one.
func matches(message, pattern string) bool {
	if pattern == "" {
		return true
	}
	var line map[string]any
	if json.Unmarshal([]byte(message), &line) != nil {
		return false
	}
	for _, one := range strings.Split(strings.Trim(pattern, "{ }"), " && ") {
		parts := condition.FindStringSubmatch(one)
		if parts == nil {
			panic("the player does not know the filter pattern " + pattern)
		}
		if equal := fmt.Sprintf("%q", line[parts[1]]) == parts[3]; equal != (parts[2] == "=") {
			return false
		}
	}
	return true
}

func page(list []json.RawMessage, in request) (part []json.RawMessage, next string) {
	size := in.MaxResults
	if size == 0 {
		size = 100
	}
	start := 0
	if token, err := base64.StdEncoding.DecodeString(in.NextToken); err == nil {
		start, _ = strconv.Atoi(string(token)) // 0 without a token
	}
	end := min(start+size, len(list))
	if end < len(list) {
		next = base64.StdEncoding.EncodeToString(strconv.AppendInt(nil, int64(end), 10))
	}
	return list[min(start, end):end], next
}

func listOf(name string, list []json.RawMessage, next string) any {
	if list == nil {
		list = []json.RawMessage{}
	}
	answer := map[string]any{name: list}
	if next != "" {
		answer["nextToken"] = next
	}
	return answer
}

// withoutData is a history event as AWS gives it with IncludeExecutionData false.
func withoutData(event json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(event, &fields) != nil {
		return event
	}
	for name, value := range fields {
		var details map[string]json.RawMessage
		if !strings.HasSuffix(name, "Details") || json.Unmarshal(value, &details) != nil {
			continue
		}
		for _, data := range []string{"input", "inputDetails", "output", "outputDetails", "parameters"} {
			delete(details, data)
		}
		fields[name], _ = json.Marshal(details)
	}
	without, err := json.Marshal(fields)
	if err != nil {
		return event
	}
	return without
}
