// Command function is a Lambda function that misbehaves as its payload says.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// QuotaError is an error with a name of its own.
type QuotaError struct{}

func (*QuotaError) Error() string { return "the quota is used up" }

func main() {
	if os.Getenv("INIT") == "exit" {
		fmt.Println("cannot start")
		os.Exit(3)
	}
	invocations := 0
	lambda.Start(func(ctx context.Context, input struct {
		Do    string `json:"do"`
		Until string `json:"until"` // there is this file
	}) (any, error) {
		invocations++
		fmt.Println("doing", input.Do)
		switch input.Do {
		case "exit":
			os.Exit(1)
		case "end":
			os.Exit(0)
		case "panic":
			panic("out of ideas")
		case "fail":
			return nil, &QuotaError{}
		case "sleep":
			time.Sleep(time.Minute)
		case "nap":
			for {
				if _, err := os.Stat(input.Until); err == nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
		case "litter":
			return os.CreateTemp("", "litter")
		case "grow":
			var kept []string
			for i := 0; i < 4096; i++ {
				kept = append(kept, strings.Repeat("x", 1<<20))
				time.Sleep(time.Millisecond)
			}
			return len(kept), errors.New("it was not killed")
		}
		deadline, _ := ctx.Deadline()
		lc, _ := lambdacontext.FromContext(ctx)
		return map[string]any{
			"pid": os.Getpid(), "invocations": invocations, "greeting": os.Getenv("GREETING"), "memory": os.Getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
			"key": os.Getenv("AWS_ACCESS_KEY_ID"), "region": os.Getenv("AWS_REGION"), "left": time.Until(deadline).Seconds(),
			"caller": lc.ClientContext.Custom["caller"], "environment": os.Environ(), "arn": lc.InvokedFunctionArn,
		}, nil
	})
}
