package console

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

func TestErrorsOfAWSHaveTheirKind(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	c := startConsole(t, f)
	for _, tc := range []struct {
		failed  failure
		status  int
		kind    string
		message string // that is part of it
	}{
		{failure{status: 400, code: "ThrottlingException", message: "Rate exceeded"}, 429, KindThrottled, "SFN ListExecutions: ThrottlingException: Rate exceeded"},
		{failure{status: 400, code: "ExpiredTokenException", message: "The security token included in the request is expired"}, 502, KindCredentials, "The security token included in the request is expired. Refresh them"},
		{failure{status: 400, code: "UnrecognizedClientException", message: "The security token is invalid"}, 502, KindCredentials, "UnrecognizedClientException"},
		{failure{status: 403, code: "InvalidSignatureException", message: "Signature expired"}, 502, KindCredentials, "Signature expired"},
		{failure{status: 400, code: "AccessDeniedException", message: "not authorized to perform states:ListExecutions"}, 502, KindAWS, "not authorized to perform states:ListExecutions"},
		{failure{status: 400, code: "InvalidToken", message: "of a page: Invalid Token"}, 400, KindInvalid, "next"},
		{failure{status: 500, code: "InternalFailure", message: "a fault"}, 502, KindAWS, "a fault"},
		{failure{status: 503, code: "ServiceUnavailable", message: "later"}, 503, KindUnreachable, "later"},
		{failure{status: 501, page: true}, 502, KindAWS, "SFN ListExecutions: the endpoint answers with status 501, and not as AWS does: it may lack this call"},
		{failure{hangUp: true}, 503, KindUnreachable, "AWS does not answer: SFN ListExecutions: "},
	} {
		f.fail(func(operation string) *failure {
			if operation == "ListExecutions" {
				return &tc.failed
			}
			return nil
		})
		status, p := refused(t, c, "GET", "/api/runs?stack=carnation-devl", "")
		if status != tc.status || p.Kind != tc.kind || !strings.Contains(p.Message, tc.message) {
			t.Errorf("%+v: status %d, %+v, want %d, %s, %s", tc.failed, status, p, tc.status, tc.kind, tc.message)
		}
		if strings.Contains(p.Message, "RequestID") || strings.Contains(p.Message, "https response error") {
			t.Errorf("%+v: message %s has what only a programmer needs", tc.failed, p.Message)
		}
	}
}

func TestRequestsAreCheckedBeforeAWSIsAsked(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	c := startConsole(t, f)
	const stack, run = "stack=carnation-devl", "&arn=" + machineRun + ":name"
	for path, want := range map[string]string{
		"runs?stack=":                                      "stack is \"\": must be the name of a stack",
		"runs?stack=a/../b":                                "must be the name of a stack",
		"overview":                                         "stack is missing",
		"stream?stack=%0a":                                 "must be the name of a stack",
		"runs?" + stack + "&status=DONE":                   "status is \"DONE\": must be one of",
		"runs?" + stack + "&max=0":                         "max is \"0\": must be an integer from 1 to 1000",
		"run-summaries?" + stack:                           "there are 0 parameters arn: must be 1 to 25",
		"visits?" + stack + run + "&path=x":                "path is \"x\": must be a JSON list of names",
		"visits?" + stack + run + "&path=[]":               "must be a JSON list of names",
		"visits?" + stack + run + "&path=[\"A\"]&index=-1": "index is \"-1\"",
		"dead-letters?" + stack + "&sequence=x":            "sequence is \"x\": must be sequence numbers",
		"plan?" + stack + run + "&do=drop":                 "do is \"drop\": must be stop or redrive",
	} {
		status, p := refused(t, c, "GET", "/api/"+path, "")
		if status != 400 || p.Kind != KindInvalid || !strings.Contains(p.Message, want) {
			t.Errorf("%s: status %d, %+v, want %s", path, status, p, want)
		}
	}
	for _, arn := range []string{"", "x", machineRun + "x:name", "arn:aws:states:eu-central-2:123456789012:execution:another:name", strings.Replace(machine, ":stateMachine:", ":execution:", 1)} {
		for _, path := range []string{"run", "visits", "run-summaries", "plan"} {
			if path == "plan" && !strings.HasPrefix(arn, "arn:") {
				continue // it takes the name of a run, too
			}
			status, p := refused(t, c, "GET", "/api/"+path+"?do=stop&"+stack+"&path=[\"A\"]&arn="+arn, "")
			if status != 404 || p.Kind != KindNotFound {
				t.Errorf("%s of %s: status %d, %+v, want that it is no run of the stack", path, arn, status, p)
			}
		}
	}
	for _, operation := range []string{"DescribeExecution", "ListExecutions", "ReceiveMessage"} {
		if n := f.count(operation); n > 0 {
			t.Errorf("%d calls of %s", n, operation)
		}
	}
}

// machineRun is what the ARN of a run begins with, and of another machine's run, too.
const machineRun = "arn:aws:states:eu-central-2:123456789012:execution:carnation"

func TestAStackThatIsMissingIsNotAnErrorOfAWS(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	c := startConsole(t, f)
	if status, p := refused(t, c, "GET", "/api/runs?stack=carnation-prod", ""); status != 404 || p.Kind != KindNoStack || p.Message != "there is no stack carnation-prod yet" {
		t.Errorf("status %d, %+v", status, p)
	}
	f.setStacks(strings.NewReplacer("carnation-devl", "carnation-new", "UPDATE_COMPLETE", "CREATE_IN_PROGRESS").Replace(completeStack[:strings.Index(completeStack, "<Outputs>")]) + "</member>")
	if status, p := refused(t, c, "GET", "/api/overview?stack=carnation-new", ""); status != 404 || p.Kind != KindNoStack || !strings.HasPrefix(p.Message, "stack carnation-new is CREATE_IN_PROGRESS") {
		t.Errorf("status %d, %+v", status, p)
	}
}

func TestCredentialsAreLoadedAgainAfterTheyWereRefused(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	var loaded atomic.Int32
	c := startConsole(t, f, func(o *Options) {
		o.Configuration = func(ctx context.Context) (aws.Config, error) {
			if loaded.Add(1) == 2 {
				return aws.Config{}, config.SharedConfigProfileNotExistError{Profile: "gone"}
			}
			return f.config(ctx)
		}
	})
	f.fail(func(string) *failure { return &failure{status: 400, code: "ExpiredToken", message: "expired"} })
	for _, want := range []string{"CloudFormation DescribeStacks: ExpiredToken: expired", "gone"} {
		if status, p := refused(t, c, "GET", "/api/stacks", ""); status != 502 || p.Kind != KindCredentials || !strings.Contains(p.Message, want) {
			t.Errorf("status %d, %+v, want %s", status, p, want)
		}
	}
	f.fail(nil)
	if got := get[Stacks](t, c, "/api/stacks"); len(got.Stacks) != 1 || loaded.Load() != 3 {
		t.Errorf("stacks %+v after %d loads, want one after 3", got, loaded.Load())
	}
}

func TestCredentialsThatCannotBeGotAreACredentialsProblem(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	c := startConsole(t, f, func(o *Options) {
		o.Configuration = func(ctx context.Context) (aws.Config, error) {
			cfg, err := f.config(ctx)
			cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, errors.New("the SSO session has expired")
			})
			return cfg, err
		}
	})
	if status, p := refused(t, c, "GET", "/api/stacks", ""); status != http.StatusBadGateway || p.Kind != KindCredentials || !strings.Contains(p.Message, "the SSO session has expired") {
		t.Errorf("status %d, %+v", status, p)
	}
}
