package awsjson_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"carnation/internal/function/awsjson"
)

// BenchmarkUpdateItem is a call without a connection, by each client.
func BenchmarkUpdateItem(b *testing.B) {
	cfg := configOf(smithyhttp.ClientDoFunc(func(r *http.Request) (*http.Response, error) {
		_, err := io.Copy(io.Discard, r.Body)
		return answered(http.StatusOK, "{}", nil), err
	}), aws.NopRetryer{})
	b.Run("client=awsjson", func(b *testing.B) {
		type text struct{ S string }
		type key struct{ ID, Time text }
		type update struct {
			TableName, UpdateExpression string
			Key                         key
		}
		client := awsjson.New(cfg, awsjson.DynamoDB, "https://dynamodb.eu-central-2.amazonaws.com")
		b.ReportAllocs()
		for b.Loop() {
			if err := client.Call(b.Context(), "UpdateItem", update{"events", "SET a = b", key{text{"1"}, text{"2"}}}, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("client=sdk", func(b *testing.B) {
		client := dynamodb.NewFromConfig(cfg)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.UpdateItem(b.Context(), &dynamodb.UpdateItemInput{
				TableName: aws.String("events"), UpdateExpression: aws.String("SET a = b"),
				Key: map[string]types.AttributeValue{"ID": &types.AttributeValueMemberS{Value: "1"}, "Time": &types.AttributeValueMemberS{Value: "2"}},
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
