package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/operate"
	"carnation/internal/operate/model"
)

const (
	mostRuns      = 1000 // of one call of ListExecutions
	mostSummaries = 25
	mostVisits    = 200
)

// listRuns is a page of the list of runs, newest first.
func listRuns(ctx context.Context, found *stack, status types.ExecutionStatus, most int32, next string) ([]RunRow, string, error) {
	input := &sfn.ListExecutionsInput{StateMachineArn: aws.String(found.StateMachineArn), MaxResults: most, StatusFilter: status}
	if next != "" {
		input.NextToken = aws.String(next)
	}
	out, err := found.executions.ListExecutions(ctx, input)
	if err != nil {
		return nil, "", fmt.Errorf("list the runs: %w", err)
	}
	rows := []RunRow{}
	for _, item := range out.Executions {
		rows = append(rows, RunRow{ListedRun: operate.NewListedRun(item)})
	}
	return rows, aws.ToString(out.NextToken), nil
}

func (c *Console) getRuns(w http.ResponseWriter, r *http.Request) error {
	found, err := c.stack(r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	status := types.ExecutionStatus(query.Get("status"))
	if status != "" && !isStatus(status) {
		return invalid("status is %q: must be one of %v", status, status.Values())
	}
	most, err := number(query.Get("max"), "max", 100, mostRuns)
	if err != nil {
		return err
	}
	rows, next, err := listRuns(r.Context(), found, status, int32(most), query.Get("next"))
	if _, ok := errors.AsType[*types.InvalidToken](err); ok {
		return invalid("next is not, or no longer, that of a page: load the list again")
	}
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].Summary = c.runs.summaryOf(rows[i])
	}
	return writeJSON(w, Runs{rows, next})
}

func isStatus(status types.ExecutionStatus) bool {
	for _, one := range status.Values() {
		if status == one {
			return true
		}
	}
	return false
}

// number reads a parameter from 1 to most, which may be missing.
func number(text, name string, missing, most int) (int, error) {
	if text == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, invalid("%s is %q: must be an integer from 1 to %d", name, text, most)
	}
	return n, nil
}

// runOf is the ARN in the request, which must be of a run of the stack, or of a shard of one.
func runOf(found *stack, arn string) (string, error) {
	// arn:aws:states:region:account:execution:machine:name, and of a shard arn:...:execution:machine/label:name. Those of Express shards have
	// express: in the place of execution:, and another id at the end.
	machine := strings.Replace(found.StateMachineArn, ":stateMachine:", ":execution:", 1)
	express := strings.Replace(found.StateMachineArn, ":stateMachine:", ":express:", 1)
	for _, prefix := range []string{machine, express} {
		if rest, ok := strings.CutPrefix(arn, prefix); ok && len(arn) <= 1024 && (strings.HasPrefix(rest, ":") || strings.HasPrefix(rest, "/")) {
			return arn, nil
		}
	}
	return "", &apiError{http.StatusNotFound, KindNotFound, fmt.Sprintf("arn is %.300q: must be the ARN of a run of stack %s", arn, found.Name)}
}

func (c *Console) getRunSummaries(w http.ResponseWriter, r *http.Request) error {
	found, err := c.stack(r)
	if err != nil {
		return err
	}
	arns := r.URL.Query()["arn"]
	if len(arns) == 0 || len(arns) > mostSummaries {
		return invalid("there are %d parameters arn: must be 1 to %d", len(arns), mostSummaries)
	}
	for _, arn := range arns {
		if _, err := runOf(found, arn); err != nil {
			return err
		}
	}
	summaries, err := c.runs.summaries(r.Context(), found, arns)
	if err != nil {
		return err
	}
	return writeJSON(w, summaries)
}

func (c *Console) getRun(w http.ResponseWriter, r *http.Request) error {
	found, err := c.stack(r)
	if err != nil {
		return err
	}
	arn, err := runOf(found, r.URL.Query().Get("arn"))
	if err != nil {
		return err
	}
	document, err := c.runs.document(r.Context(), found, arn)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(document)
	return nil
}

func (c *Console) getVisits(w http.ResponseWriter, r *http.Request) error {
	found, err := c.stack(r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	arn, err := runOf(found, query.Get("arn"))
	if err != nil {
		return err
	}
	var path []string
	if err := json.Unmarshal([]byte(query.Get("path")), &path); err != nil || len(path) == 0 {
		return invalid("path is %q: must be a JSON list of names", query.Get("path"))
	}
	var index *int
	if text := query.Get("index"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return invalid("index is %q: must be the number of an iteration, from 0", text)
		}
		index = &n
	}
	visits, err := c.runs.visits(r.Context(), found.Stack, arn, path, index, mostVisits)
	if err != nil {
		return err
	}
	if visits == nil {
		visits = []model.Visit{}
	}
	return writeJSON(w, visits)
}
