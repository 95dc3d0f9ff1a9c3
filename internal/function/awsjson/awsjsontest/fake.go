// Package awsjsontest is for tests of what calls AWS through package awsjson.
package awsjsontest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
)

// Fake stands for an *awsjson.Client. API has the methods of the SDK's client that a test expects to be called: so inputs are
// held against the SDK's types, and a field that they do not have is an error.
type Fake struct{ API any }

// Call calls the method of the operation's name.
func (f Fake) Call(ctx context.Context, operation string, input, output any) error {
	method := reflect.ValueOf(f.API).MethodByName(operation)
	if !method.IsValid() {
		return fmt.Errorf("%s is not expected", operation)
	}
	in := reflect.New(method.Type().In(1).Elem())
	data, err := json.Marshal(input)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(in.Interface()); err != nil {
		return fmt.Errorf("%s takes no %s: %w", operation, data, err)
	}
	results := method.Call([]reflect.Value{reflect.ValueOf(ctx), in})
	if err, ok := results[1].Interface().(error); ok {
		return err
	}
	if data, err = json.Marshal(results[0].Interface()); err != nil {
		return err
	}
	return json.Unmarshal(data, output)
}
