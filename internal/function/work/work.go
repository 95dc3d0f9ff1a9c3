// Package work is what is done with one event. To do something else with your events, replace this package.
package work

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"carnation/internal/event"
	"carnation/internal/function/environment"
)

// New returns the work of insert-data, with the clients and the settings that it needs: here the table that TABLE_NAME names. It runs
// once, when the function starts, and calls nothing. An error names the setting.
func New(cfg aws.Config) (func(ctx context.Context, e event.Event) error, error) {
	name, err := environment.Require("TABLE_NAME")
	if err != nil {
		return nil, err
	}
	return Table{API: dynamodb.NewFromConfig(cfg), Name: name}.Insert, nil
}

// API is the operation of DynamoDB that a Table uses. *dynamodb.Client has it.
type API interface {
	UpdateItem(ctx context.Context, input *dynamodb.UpdateItemInput, options ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
}

// Table is the table of events.
type Table struct {
	API  API
	Name string
}

// Insert puts one event into the table. It returns an error if the event may not be in the table. It must be safe to call
// again with the same event: that gives the same row, with the time of the first insert. The row of an event made from a record has
// the record, too. An event that DynamoDB refuses as invalid or too large will never fit.
func (t Table) Insert(ctx context.Context, e event.Event) error {
	update := "SET generatedUnixTime = :generated, retryAttempt = :attempt, updatedUnixTime = :now, createdUnixTime = if_not_exists(createdUnixTime, :now)"
	values := map[string]types.AttributeValue{
		":generated": number(e.CurrentTime),
		":attempt":   number(int64(e.RetryAttempt)),
		":now":       number(time.Now().Unix()),
	}
	var names map[string]string
	if e.Payload != nil {
		payload, err := attribute(e.Payload)
		if err != nil {
			return Permanent(err)
		}
		update += ", #source = :source, #payload = :payload"
		names = map[string]string{"#source": "source", "#payload": "payload"} // words that DynamoDB may reserve
		values[":source"], values[":payload"] = &types.AttributeValueMemberS{Value: e.Source}, payload
	}
	_, err := t.API.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: aws.String(t.Name),
		Key: map[string]types.AttributeValue{
			"sequenceNo":        number(e.SequenceNo),
			"randomStringValue": &types.AttributeValueMemberS{Value: e.RandomValue},
		},
		UpdateExpression:          aws.String(update),
		ExpressionAttributeNames:  names,
		ExpressionAttributeValues: values,
	})
	// DynamoDB has no other error for an item that is too large.
	var coded interface {
		error
		ErrorCode() string
	}
	if errors.As(err, &coded) && coded.ErrorCode() == "ValidationException" {
		return Permanent(err)
	}
	return err
}

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// attribute is a JSON object as DynamoDB stores it: a map, whose numbers keep their digits.
func attribute(object json.RawMessage) (types.AttributeValue, error) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber()
	var fields map[string]any
	if err := decoder.Decode(&fields); err != nil {
		return nil, fmt.Errorf("read the payload: %w", err)
	}
	return attributeOf(fields), nil
}

func attributeOf(value any) types.AttributeValue {
	switch value := value.(type) {
	case map[string]any:
		fields := make(map[string]types.AttributeValue, len(value))
		for name, field := range value {
			fields[name] = attributeOf(field)
		}
		return &types.AttributeValueMemberM{Value: fields}
	case []any:
		list := make([]types.AttributeValue, len(value))
		for i, element := range value {
			list[i] = attributeOf(element)
		}
		return &types.AttributeValueMemberL{Value: list}
	case string:
		return &types.AttributeValueMemberS{Value: value}
	case bool:
		return &types.AttributeValueMemberBOOL{Value: value}
	case json.Number:
		return &types.AttributeValueMemberN{Value: decimal(value.String())}
	default:
		return &types.AttributeValueMemberNULL{Value: true}
	}
}

// decimal is a JSON number as DynamoDB takes it. One with many zeros at an end is written with an exponent, so that its zeros cannot
// count as digits: 38 are the most.
func decimal(n string) string {
	if len(n) <= event.MaxDigits {
		return n
	}
	digits, exponent, ok := event.Number(n)
	switch {
	case !ok: // DynamoDB refuses it
		return n
	case digits == "":
		return "0"
	case n[0] == '-':
		digits = "-" + digits
	}
	return fmt.Sprintf("%sE%d", digits, exponent-len(strings.TrimPrefix(digits, "-"))+1)
}
