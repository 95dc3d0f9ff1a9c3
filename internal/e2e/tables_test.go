package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Local AWS does plain updates itself, since moto takes long. ReturnValues makes moto do the same update.
func TestPlainUpdatesDoWhatMotoDoes(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const set = "SET textValue = :random, retryAttempt = :attempt, updatedUnixTime = :now, createdUnixTime = if_not_exists(createdUnixTime, :now)"
	const same = "attribute_not_exists(sequenceNo) OR textValue = :random"
	type updates []dynamodb.UpdateItemInput
	for i, tc := range []struct {
		atOnce  int // how many of the updates are plain
		updates updates
	}{
		{3, updates{update(set, same, "a", 1), update(set, same, "a", 2), update(set, same, "b", 3)}},
		{1, updates{update(set, "textValue = :random", "a", 1)}},
		{2, updates{update(set, "attribute_not_exists(sequenceNo)", "a", 1), update(set, "attribute_not_exists(sequenceNo)", "a", 2)}},
		{2, updates{update("SET a = :random, b = :attempt, c = :now", "", "a", 1), update("SET a = :now, b = :attempt, c = if_not_exists(d, :random)", "", "b", 2)}},
		{0, updates{update("SET a = :random, b = :attempt", "", "a", 1)}},                    // values that are not used
		{0, updates{update("SET name = :random, b = :attempt, c = :now", "", "a", 1)}},       // a reserved word
		{0, updates{update("SET a = :random, b = :attempt + :now", "", "a", 1)}},             // a sum
		{0, updates{update("SET a = :random, a = :attempt, c = :now", "", "a", 1)}},          // twice
		{0, updates{update("SET sequenceNo = :random, b = :attempt, c = :now", "", "a", 1)}}, // a key
		{1, updates{update(set, same, "a", 1), update("SET a = :random, b = :attempt, c = :now REMOVE retryAttempt", "", "a", 1)}},
		{0, updates{update(set, same+" AND retryAttempt = :attempt", "a", 1), update(set, same+" AND retryAttempt = :now", "a", 2)}},
	} {
		var atOnce [2]int
		var got [2]string
		for way, returns := range []types.ReturnValue{"", types.ReturnValueNone} {
			key := map[string]types.AttributeValue{
				"sequenceNo":        &types.AttributeValueMemberN{Value: fmt.Sprint(7_000_000 + i)},
				"randomStringValue": &types.AttributeValueMemberS{Value: fmt.Sprint(way)},
			}
			heard := smithyhttp.ClientDoFunc(func(r *http.Request) (*http.Response, error) {
				response, err := http.DefaultClient.Do(r)
				if err == nil && response.Header.Get("X-Carnation-At-Once") != "" {
					atOnce[way]++
				}
				return response, err
			})
			for _, in := range tc.updates {
				in.TableName, in.Key, in.ReturnValues = aws.String(s.outputs["TableName"]), key, returns
				_, err := s.table.UpdateItem(t.Context(), &in, func(o *dynamodb.Options) { o.HTTPClient = heard })
				var api smithy.APIError
				if errors.As(err, &api) {
					got[way] += api.ErrorCode() + ": " + api.ErrorMessage() + "; "
				} else if err != nil {
					t.Fatal(err)
				}
			}
			out, err := s.table.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String(s.outputs["TableName"]), Key: key})
			if err != nil {
				t.Fatal(err)
			}
			var row map[string]any
			if err := attributevalue.UnmarshalMap(out.Item, &row); err != nil {
				t.Fatal(err)
			}
			delete(row, "randomStringValue")
			got[way] += fmt.Sprint(row)
		}
		if got[0] != got[1] {
			t.Errorf("%s\n  at once: %s\n  by moto: %s", *tc.updates[0].UpdateExpression, got[0], got[1])
		}
		if atOnce != [2]int{tc.atOnce, 0} {
			t.Errorf("%s: %d and %d updates done at once, want %d and 0", *tc.updates[0].UpdateExpression, atOnce[0], atOnce[1], tc.atOnce)
		}
	}
}

func update(expression, condition, random string, now int) dynamodb.UpdateItemInput {
	in := dynamodb.UpdateItemInput{
		UpdateExpression: aws.String(expression),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":random": &types.AttributeValueMemberS{Value: random}, ":attempt": &types.AttributeValueMemberN{Value: "0"},
			":now": &types.AttributeValueMemberN{Value: fmt.Sprint(now)},
		},
	}
	if condition != "" {
		in.ConditionExpression = aws.String(condition)
	}
	return in
}
