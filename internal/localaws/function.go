package localaws

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// keepWarm is how long an idle copy of a function waits for its next invocation.
const keepWarm = 5 * time.Minute

// function is one deployed version of a Lambda function.
type function struct {
	arn, region      string
	name, role       string
	timeout          time.Duration
	memoryMB         int
	reserved         int // concurrency, -1 for none
	environment      []string
	logGroup         string
	fingerprint      string // of everything that is deployed
	codeURL, codeDir string

	mu      sync.Mutex
	warm    []*instance // copies that wait for an invocation
	retired bool        // a newer version is deployed
}

// find returns the function as it is deployed now.
func (s *lambdaService) find(ctx context.Context, region, name string) (*function, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fn := s.known[region+"/"+name]; fn != nil {
		return fn, nil
	}
	out, err := s.api.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String(name)}, func(o *lambda.Options) { o.Region = region })
	if err != nil {
		return nil, fmt.Errorf("get function %s: %w", name, err)
	}
	fn, err := s.describe(out, region)
	if err != nil {
		return nil, fmt.Errorf("read function %s: %w", name, err)
	}
	old := s.deployed[fn.arn]
	if old == nil || old.fingerprint != fn.fingerprint {
		if fn.codeDir, err = s.unpack(ctx, fn); err != nil {
			return nil, err
		}
		if old != nil {
			old.retire()
		}
		s.deployed[fn.arn] = fn
	}
	s.known[region+"/"+name] = s.deployed[fn.arn]
	return s.deployed[fn.arn], nil
}

// describe reads what GetFunction answered.
func (s *lambdaService) describe(out *lambda.GetFunctionOutput, region string) (*function, error) {
	c := out.Configuration
	if c == nil || out.Code == nil {
		return nil, errors.New("the answer has no configuration or no code")
	}
	role := aws.ToString(c.Role)
	fn := &function{
		arn:      aws.ToString(c.FunctionArn),
		region:   region,
		name:     aws.ToString(c.FunctionName),
		role:     role[strings.LastIndex(role, "/")+1:],
		timeout:  time.Duration(aws.ToInt32(c.Timeout)) * time.Second,
		memoryMB: int(aws.ToInt32(c.MemorySize)),
		reserved: -1,
		codeURL:  aws.ToString(out.Code.Location),
	}
	if out.Concurrency != nil && out.Concurrency.ReservedConcurrentExecutions != nil {
		fn.reserved = int(*out.Concurrency.ReservedConcurrentExecutions)
	}
	fn.logGroup = "/aws/lambda/" + fn.name
	format := types.LogFormatText
	if c.LoggingConfig != nil {
		if c.LoggingConfig.LogGroup != nil {
			fn.logGroup = *c.LoggingConfig.LogGroup
		}
		if c.LoggingConfig.LogFormat != "" {
			format = c.LoggingConfig.LogFormat
		}
	}
	// The access key ID is the role's name, which says who makes a call.
	fn.environment = append(plainEnvironment(),
		"AWS_ENDPOINT_URL="+s.endpoint,
		"AWS_ACCESS_KEY_ID="+fn.role, "AWS_SECRET_ACCESS_KEY=local", "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
		"AWS_LAMBDA_FUNCTION_NAME="+fn.name, "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE="+strconv.Itoa(fn.memoryMB), "AWS_LAMBDA_LOG_FORMAT="+string(format),
		"AWS_LAMBDA_LOG_GROUP_NAME="+fn.logGroup, "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"_HANDLER="+aws.ToString(c.Handler),
		// Lambda gives a processor for each 1,769 MB: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
		// With more, Go's scheduler takes time from the other copies.
		"GOMAXPROCS="+strconv.Itoa(min(runtime.NumCPU(), (fn.memoryMB+1768)/1769)))
	if c.Environment != nil {
		for name, value := range c.Environment.Variables {
			fn.environment = append(fn.environment, name+"="+value)
		}
	}
	slices.Sort(fn.environment)
	print, err := json.Marshal([]any{c, fn.reserved})
	if err != nil {
		return nil, err
	}
	fn.fingerprint = fmt.Sprintf("%x", sha256.Sum256(print))
	return fn, nil
}

// take returns a warm copy of the function, or nil if there is none.
func (fn *function) take() *instance {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	for len(fn.warm) > 0 {
		in := fn.warm[len(fn.warm)-1]
		fn.warm = fn.warm[:len(fn.warm)-1]
		if in.idle.Stop() && in.Alive() {
			return in
		}
	}
	return nil
}

// give keeps a copy warm, unless it has ended or a newer version of the function is deployed.
func (fn *function) give(in *instance) {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	if fn.retired || !in.Alive() {
		in.Kill()
		return
	}
	in.idle = time.AfterFunc(keepWarm, in.Kill)
	fn.warm = append(fn.warm, in)
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
