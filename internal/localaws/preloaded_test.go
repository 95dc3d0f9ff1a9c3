package localaws

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func TestLocalAWSsBeginWithWhatWasMadeBefore(t *testing.T) {
	before := startLaptop(t)
	var made struct{ QueueUrl string }
	if err := laptops.preloaded.Call("sqs", "create_queue", map[string]any{"QueueName": "made-before"}, &made); err != nil {
		t.Fatal(err)
	}
	for operation, want := range map[string]string{"delete_queue": "NonExistentQueue", "no_such_operation": "no_such_operation"} {
		err := laptops.preloaded.Call("sqs", operation, map[string]any{"QueueUrl": made.QueueUrl + "-and-gone"}, nil)
		if err == nil || !strings.Contains(err.Error(), "sqs "+operation+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s fails with %v, want it to name itself and %s", operation, err, want)
		}
	}
	after := startLaptop(t)
	if err := laptops.preloaded.Call("sqs", "delete_queue", map[string]any{"QueueUrl": made.QueueUrl}, nil); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		*laptop
		want []string
	}{{before, nil}, {after, []string{after.URL + "/" + accountID + "/made-before"}}} {
		client := sqs.New(sqs.Options{BaseEndpoint: aws.String(one.URL), Region: Region, Credentials: credentials.NewStaticCredentialsProvider("test", "local", "")})
		if out, err := client.ListQueues(t.Context(), &sqs.ListQueuesInput{}); err != nil || !slices.Equal(out.QueueUrls, one.want) {
			t.Errorf("the local AWS has the queues %v, %v, want %v", out.QueueUrls, err, one.want)
		}
	}
}
