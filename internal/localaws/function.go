package localaws

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
)

// latest is the version of a function that can still change.
const latest = "$LATEST"

// keepWarm is how long an idle copy of a function waits for its next invocation.
const keepWarm = 5 * time.Minute

// function is one version of a Lambda function as it is deployed. Each version has its own code, configuration and copies.
type function struct {
	arn, region         string // the ARN has no qualifier
	name, version       string // version "$LATEST", "1", "2", ...
	role, handler       string
	timeout             time.Duration
	memoryMB            int
	reserved            int // concurrency of all versions together, -1 for none
	variables           map[string]string
	logGroup, logFormat string
	logLevel            string // for what the function logs, "" if not set
	platformLevel       string // for what Lambda logs, "" if not set
	traced              bool   // tracing is active
	fingerprint         string // of everything that is deployed
	codeURL, codeDir    string
	codeSHA256          string

	mu       sync.Mutex
	warm     []*instance // copies that wait for an invocation
	starting int         // copies
	changed  *sync.Cond  // warm or starting
	retired  bool        // something else is deployed in its place, or it has been deleted
}

// find returns a version of a function as it is deployed now. The qualifier is a version, an alias, or empty for $LATEST.
func (s *lambdaService) find(ctx context.Context, region, name, qualifier string) (*function, error) {
	asked := region + "/" + name + ":" + qualifier
	s.mu.Lock()
	defer s.mu.Unlock()
	if fn := s.known[asked]; fn != nil {
		return fn, nil
	}
	fn, err := s.describe(ctx, region, name, qualifier)
	if err != nil {
		return nil, err
	}
	old := s.deployed[fn.id()]
	if old != nil && old.fingerprint == fn.fingerprint {
		old.reserved = fn.reserved
	} else {
		if fn.codeDir, err = s.codes.folder(ctx, fn); err != nil {
			return nil, err
		}
		if old != nil {
			old.retire()
		}
		s.deployed[fn.id()] = fn
	}
	if s.changing == 0 {
		s.known[asked] = s.deployed[fn.id()]
	}
	return s.deployed[fn.id()], nil
}

// id is what makes a function one: its ARN with its version.
func (fn *function) id() string { return fn.arn + ":" + fn.version }

// describe asks for a version of a function.
func (s *lambdaService) describe(ctx context.Context, region, name, qualifier string) (*function, error) {
	in := &lambda.GetFunctionInput{FunctionName: aws.String(name)}
	if qualifier != "" {
		in.Qualifier = aws.String(qualifier)
	}
	out, err := s.api.GetFunction(ctx, in, func(o *lambda.Options) { o.Region = region })
	if err != nil {
		return nil, fmt.Errorf("get function %s: %w", name, err)
	}
	fn, err := described(out, region)
	if err != nil {
		return nil, fmt.Errorf("read function %s: %w", name, err)
	}
	return fn, nil
}

// described reads what GetFunction answered.
func described(out *lambda.GetFunctionOutput, region string) (*function, error) {
	c := out.Configuration
	if c == nil || out.Code == nil {
		return nil, errors.New("the answer has no configuration or no code")
	}
	role := aws.ToString(c.Role)
	fn := &function{
		region:   region,
		name:     aws.ToString(c.FunctionName),
		version:  cmp.Or(aws.ToString(c.Version), latest),
		role:     role[strings.LastIndex(role, "/")+1:],
		handler:  aws.ToString(c.Handler),
		timeout:  time.Duration(aws.ToInt32(c.Timeout)) * time.Second,
		memoryMB: int(aws.ToInt32(c.MemorySize)),
		reserved: -1,
		traced:   c.TracingConfig != nil && c.TracingConfig.Mode == types.TracingModeActive,
		codeURL:  aws.ToString(out.Code.Location),

		codeSHA256: aws.ToString(c.CodeSha256),
	}
	fn.changed = sync.NewCond(&fn.mu)
	before, after, _ := strings.Cut(aws.ToString(c.FunctionArn), ":function:")
	unqualified, _, _ := strings.Cut(after, ":")
	fn.arn = before + ":function:" + unqualified
	c.FunctionArn = &fn.arn // the same for each way to ask for this version
	if out.Concurrency != nil && out.Concurrency.ReservedConcurrentExecutions != nil {
		fn.reserved = int(*out.Concurrency.ReservedConcurrentExecutions)
	}
	fn.logGroup = "/aws/lambda/" + fn.name
	fn.logFormat = string(types.LogFormatText)
	if c.LoggingConfig != nil {
		if c.LoggingConfig.LogGroup != nil {
			fn.logGroup = *c.LoggingConfig.LogGroup
		}
		if c.LoggingConfig.LogFormat != "" {
			fn.logFormat = string(c.LoggingConfig.LogFormat)
		}
		fn.logLevel, fn.platformLevel = string(c.LoggingConfig.ApplicationLogLevel), string(c.LoggingConfig.SystemLogLevel)
	}
	if c.Environment != nil {
		fn.variables = c.Environment.Variables
	}
	print, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	fn.fingerprint = fmt.Sprintf("%x", sha256.Sum256(print))
	return fn, nil
}

// take returns a warm copy of the function, or nil if the caller is to start one, and to call endStart. More starts than processors
// would only slow each other down. So their callers wait, and take what becomes warm until then.
func (fn *function) take() *instance {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	for {
		for len(fn.warm) > 0 {
			in := fn.warm[len(fn.warm)-1]
			fn.warm = fn.warm[:len(fn.warm)-1]
			if in.idle.Stop() && in.Alive() {
				return in
			}
		}
		if fn.starting < runtime.GOMAXPROCS(0) {
			fn.starting++
			return nil
		}
		fn.changed.Wait()
	}
}

// endStart says that a copy has started, or has failed to.
func (fn *function) endStart() {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	fn.starting--
	fn.changed.Signal()
}

// give keeps a copy warm, unless it or its function has ended.
func (fn *function) give(in *instance) {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	if fn.retired || !in.Alive() {
		in.Kill()
		return
	}
	in.idle = time.AfterFunc(keepWarm, in.Kill)
	fn.warm = append(fn.warm, in)
	fn.changed.Signal()
}

// retire ends the warm copies. Those at work end after their invocation.
func (fn *function) retire() {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	fn.retired = true
	for _, in := range fn.warm {
		in.Kill()
	}
	fn.warm = nil
}

// retireReplaced ends the warm copies of what is no longer deployed. Otherwise they would wait for an invocation that cannot come.
func (s *lambdaService) retireReplaced(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
	defer cancel()
	s.mu.Lock()
	deployed := slices.Collect(maps.Values(s.deployed))
	s.mu.Unlock()
	for _, fn := range deployed {
		now, err := s.describe(ctx, fn.region, fn.name, fn.version)
		if err == nil && now.fingerprint == fn.fingerprint || err != nil && !isNotFound(err) {
			continue
		}
		s.mu.Lock()
		if s.deployed[fn.id()] == fn { // no invocation has replaced it meanwhile
			delete(s.deployed, fn.id())
		}
		s.mu.Unlock()
		fn.retire()
	}
}

func isNotFound(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "ResourceNotFoundException"
}
