package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"golang.org/x/sync/singleflight"

	"carnation/internal/operate"
	"carnation/internal/operate/model"
)

const (
	// stackAge is how long what a stack says about itself is believed.
	stackAge = 20 * time.Second
	// listAge is how long the list of stacks is believed. CloudFormation throttles DescribeStacks, and does not say at which rate.
	listAge = 2 * time.Second
	// mostStacks is how many stacks a console looks at.
	mostStacks = 50
)

// stack is a stack, and the client for what operate does not do.
type stack struct {
	*operate.Stack
	executions *sfn.Client
}

// stacks finds stacks. It keeps what it has found for a while, for all pages together. Whoever asks for the same at the same time gets one
// answer, and nobody waits for a call of AWS that is not about its stack.
type stacks struct {
	options Options
	flight  singleflight.Group

	mu      sync.Mutex
	cfg     aws.Config
	stale   bool // the configuration must be loaded again
	refused int  // how often credentials were refused: what was read before is not kept
	opened  map[string]openedStack
	list    []operate.StackState
	listed  time.Time
}

type openedStack struct {
	stack *stack
	at    time.Time
}

func newStacks(options Options, cfg aws.Config) *stacks {
	return &stacks{options: options, cfg: cfg, opened: map[string]openedStack{}}
}

// shared reads something once for all who ask at the same time. Whoever asks first may go away before the others have their answer.
func (s *stacks) shared(ctx context.Context, key string, read func(context.Context) (any, error)) (any, error) {
	answer := s.flight.DoChan(key, guarded(func() (any, error) {
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
		defer cancel()
		return read(shared)
	}))
	select {
	case result := <-answer:
		return result.Val, result.Err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// configuration is that of the user, and how often credentials were refused before. After that, it is loaded again.
func (s *stacks) configuration(ctx context.Context) (aws.Config, int, error) {
	s.mu.Lock()
	cfg, stale, refused := s.cfg, s.stale, s.refused
	s.mu.Unlock()
	if !stale {
		return cfg, refused, nil
	}
	loaded, err := s.shared(ctx, fmt.Sprint("configuration ", refused), func(ctx context.Context) (any, error) {
		cfg, err := s.options.Configuration(ctx)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.refused == refused {
			s.cfg, s.stale = cfg, false
		}
		return cfg, nil
	})
	if err != nil {
		return aws.Config{}, refused, err
	}
	return loaded.(aws.Config), refused, nil
}

// failed notes an error of a call of AWS.
func (s *stacks) failed(err error) {
	if explain(err).kind == KindCredentials {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stale, s.opened = true, map[string]openedStack{}
		s.refused++
	}
}

var stackName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,127}$`)

// open finds a stack by its name.
func (s *stacks) open(ctx context.Context, name string) (*stack, error) {
	if !stackName.MatchString(name) {
		return nil, invalid("stack is %q: must be the name of a stack", name)
	}
	found, err := s.find(ctx, name)
	if err != nil {
		s.failed(err)
	}
	return found, err
}

func (s *stacks) find(ctx context.Context, name string) (*stack, error) {
	s.mu.Lock()
	known, ok := s.opened[name]
	s.mu.Unlock()
	if ok && time.Since(known.at) < stackAge {
		return known.stack, nil
	}
	cfg, refused, err := s.configuration(ctx)
	if err != nil {
		return nil, err
	}
	found, err := s.shared(ctx, fmt.Sprint("stack ", name, " ", refused), func(ctx context.Context) (any, error) {
		opened, err := operate.OpenWith(ctx, cfg, name)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			delete(s.opened, name)
			return nil, err
		}
		found := &stack{opened, sfn.NewFromConfig(cfg, model.Limited(cfg))}
		if s.refused == refused {
			s.opened[name] = openedStack{found, time.Now()}
		}
		return found, nil
	})
	if err != nil {
		return nil, err
	}
	return found.(*stack), nil
}

// all lists the stacks.
func (s *stacks) all(ctx context.Context) (Stacks, error) {
	list, cfg, err := s.states(ctx)
	if slices.Contains(deniedCodes, codeOf(err)) {
		list, err = s.onlyOwn(ctx, err)
	}
	if err != nil {
		s.failed(err)
		return Stacks{}, err
	}
	answer := Stacks{
		Region: cfg.Region, Endpoint: aws.ToString(cfg.BaseEndpoint), Stacks: []StackRef{}, Default: s.options.StackName,
		ReadOnly: readOnly(s.options, cfg), HowToMake: howToMake(s.options.StackName),
	}
	for _, one := range list {
		answer.Stacks = append(answer.Stacks, StackRef(one))
	}
	if answer.Default == "" && len(list) == 1 {
		answer.Default = list[0].Name
	}
	return answer, nil
}

func (s *stacks) states(ctx context.Context) ([]operate.StackState, aws.Config, error) {
	cfg, refused, err := s.configuration(ctx)
	if err != nil {
		return nil, cfg, err
	}
	s.mu.Lock()
	list, listed := s.list, s.listed
	s.mu.Unlock()
	if time.Since(listed) < listAge {
		return list, cfg, nil
	}
	read, err := s.shared(ctx, fmt.Sprint("stacks ", refused), func(ctx context.Context) (any, error) {
		list, err := operate.Stacks(ctx, cfg)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.list, s.listed = list, time.Now()
		return list, nil
	})
	if err != nil {
		return nil, cfg, err
	}
	return read.([]operate.StackState), cfg, nil
}

// deniedCodes are those of CloudFormation for a call that no policy allows.
var deniedCodes = []string{"AccessDenied", "AccessDeniedException"}

// onlyOwn is the stack of --stack-name alone, for whoever may not list the others, as the policy reader of the access stack does not.
func (s *stacks) onlyOwn(ctx context.Context, denied error) ([]operate.StackState, error) {
	if s.options.StackName == "" {
		return nil, &apiError{http.StatusBadGateway, KindAWS, said(denied) + ". The stacks cannot be listed: start carnation console with --stack-name"}
	}
	found, err := s.find(ctx, s.options.StackName)
	if missing, ok := errors.AsType[*operate.NoStackError](err); ok {
		if missing.State == "" {
			return nil, nil
		}
		return []operate.StackState{{Name: missing.Name, State: missing.State}}, nil
	}
	if err != nil {
		return nil, err
	}
	return []operate.StackState{{Name: found.Name, State: found.State, MapMode: found.Outputs["MapMode"]}}, nil
}

// howToMake is the command that makes a stack.
func howToMake(name string) string {
	const command = "make prerequisites && make deploy"
	if name == "" || name == "carnation-devl" {
		return command
	}
	return command + " STACK_NAME=" + name
}

// stack is the stack that a request names. A request that changes something gets it only if it may change it.
func (c *Console) stack(r *http.Request) (*stack, error) {
	found, err := c.stacks.open(r.Context(), r.URL.Query().Get("stack"))
	if err == nil && r.Context().Value(changes{}) != nil && readOnly(c.options, found.Config) {
		return nil, errReadOnly
	}
	return found, err
}

func (c *Console) getStacks(w http.ResponseWriter, r *http.Request) error {
	all, err := c.stacks.all(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, all)
}

// isMissing tells whether there is no such stack (yet).
func isMissing(err error) bool {
	_, missing := errors.AsType[*operate.NoStackError](err)
	return missing
}
