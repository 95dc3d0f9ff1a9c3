package console

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"carnation/internal/operate"
)

const (
	// stackAge is how long what a stack says about itself is believed.
	stackAge = 20 * time.Second
	// listAge is how long the list of stacks is believed. CloudFormation throttles DescribeStacks at ten calls a second.
	listAge = 2 * time.Second
	// mostStacks is how many stacks a console looks at.
	mostStacks = 50
)

// stack is a stack, and the client for what operate does not do.
type stack struct {
	*operate.Stack
	executions *sfn.Client
}

// stacks finds stacks. It keeps what it has found for a while, for all pages together.
type stacks struct {
	options Options

	mu     sync.Mutex
	cfg    aws.Config
	stale  bool // the configuration must be loaded again
	opened map[string]openedStack
	list   []operate.StackState
	listed time.Time
}

type openedStack struct {
	stack *stack
	at    time.Time
}

func newStacks(options Options, cfg aws.Config) *stacks {
	return &stacks{options: options, cfg: cfg, opened: map[string]openedStack{}}
}

// configuration is that of the user. After credentials were refused, it is loaded again.
func (s *stacks) configuration(ctx context.Context) (aws.Config, error) {
	if s.stale {
		cfg, err := s.options.Configuration(ctx)
		if err != nil {
			return cfg, err
		}
		s.cfg, s.stale = cfg, false
	}
	return s.cfg, nil
}

// failed notes an error of a call of AWS.
func (s *stacks) failed(err error) {
	if explain(err).kind == KindCredentials {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stale, s.opened = true, map[string]openedStack{}
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
	defer s.mu.Unlock()
	if known, ok := s.opened[name]; ok && time.Since(known.at) < stackAge {
		return known.stack, nil
	}
	cfg, err := s.configuration(ctx)
	if err != nil {
		return nil, err
	}
	delete(s.opened, name)
	opened, err := operate.OpenWith(ctx, cfg, name)
	if err != nil {
		return nil, err
	}
	found := &stack{opened, sfn.NewFromConfig(cfg)}
	s.opened[name] = openedStack{found, time.Now()}
	return found, nil
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
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg, err := s.configuration(ctx)
	if err != nil || time.Since(s.listed) < listAge {
		return s.list, cfg, err
	}
	list, err := operate.Stacks(ctx, cfg)
	if err == nil {
		s.list, s.listed = list, time.Now()
	}
	return list, cfg, err
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

// stack is the stack that a request names.
func (c *Console) stack(r *http.Request) (*stack, error) {
	return c.stacks.open(r.Context(), r.URL.Query().Get("stack"))
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
