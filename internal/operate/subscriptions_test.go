package operate

import (
	"fmt"
	"strings"
	"testing"
)

// subscribed answers with the subscriptions of these ARNs, each on a page of its own.
func (f *fakeAWS) subscribed(arns ...string) {
	f.answer["ListSubscriptionsByTopic"] = func(input map[string]any) (any, error) {
		if input["TopicArn"] != "arn:topic" {
			return nil, fmt.Errorf("NotFound: %v", input)
		}
		page := 0
		if token, ok := input["NextToken"].(string); ok {
			if _, err := fmt.Sscan(token, &page); err != nil {
				return nil, err
			}
		}
		if page >= len(arns) {
			return "<Subscriptions/>", nil
		}
		answer := fmt.Sprintf("<Subscriptions><member><SubscriptionArn>%s</SubscriptionArn></member></Subscriptions>", arns[page])
		if page+1 < len(arns) {
			answer += fmt.Sprintf("<NextToken>%d</NextToken>", page+1)
		}
		return answer, nil
	}
}

func TestSubscriptionsSayWhetherSomebodyGetsTheAlarms(t *testing.T) {
	const confirmed = "arn:aws:sns:eu-central-2:123456789012:alarms:0b6f4ee0-9a5a-4d0e-9d5c-000000000000"
	for _, tc := range []struct {
		email string
		arns  []string
		want  Subscriptions
		says  string
	}{
		{"", nil, Subscriptions{}, ""},
		{"ops@example.com", []string{confirmed}, Subscriptions{Confirmed: 1}, ""},
		{"", []string{confirmed}, Subscriptions{Confirmed: 1}, ""},
		{"ops@example.com", []string{unconfirmed}, Subscriptions{Pending: 1}, "nobody gets them: the e-mail subscription is not confirmed; "},
		{"ops@example.com", []string{confirmed, unconfirmed, unconfirmed}, Subscriptions{Confirmed: 1, Pending: 2}, "2 of 3 subscriptions are not confirmed and get nothing; "},
		{"ops@example.com", nil, Subscriptions{Missing: true}, "nobody gets them: the e-mail subscription is gone, "},
	} {
		f, s := newFakeAWS(t)
		f.subscribed(tc.arns...)
		s.Parameters = map[string]string{"SNSSubscriptionEmail": tc.email}
		got, err := s.Subscriptions(t.Context())
		if got != tc.want || err != nil {
			t.Errorf("%v: Subscriptions() = %+v, %v, want %+v", tc.arns, got, err, tc.want)
		}
		if says := got.Warning(); !strings.HasPrefix(says, tc.says) || (says == "") != (tc.says == "") {
			t.Errorf("%v: Warning() = %q, want %q", tc.arns, says, tc.says)
		}
	}
}
