package operate

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
)

// unconfirmed is what SNS lists instead of the ARN of a subscription that nobody has confirmed.
// https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
const unconfirmed = "PendingConfirmation"

// Subscriptions are those of the topic that the alarms notify.
type Subscriptions struct {
	Confirmed int `json:"confirmed"`
	Pending   int `json:"pending"` // nobody has confirmed them, so they get nothing
	// Missing says that the stack has an e-mail address, and the topic has no subscription: SNS deletes one that nobody confirms.
	Missing bool `json:"missing,omitempty"`
}

// Warning says why alarms reach nobody, or not everybody. It is empty if they do, or if nobody asked for them.
func (s Subscriptions) Warning() string {
	switch {
	case s.Missing:
		return "nobody gets them: the e-mail subscription is gone, because SNS deletes one that nobody confirms; see docs/operations.md#nobody-gets-the-alarms"
	case s.Pending > 0 && s.Confirmed == 0:
		return "nobody gets them: the e-mail subscription is not confirmed; the link is in the e-mail from SNS; see docs/operations.md#nobody-gets-the-alarms"
	case s.Pending > 0:
		return fmt.Sprintf("%d of %d subscriptions are not confirmed and get nothing; see docs/operations.md#nobody-gets-the-alarms", s.Pending, s.Pending+s.Confirmed)
	}
	return ""
}

// Subscriptions counts the subscriptions of the topic.
func (s *Stack) Subscriptions(ctx context.Context) (Subscriptions, error) {
	var found Subscriptions
	pages := sns.NewListSubscriptionsByTopicPaginator(s.topics, &sns.ListSubscriptionsByTopicInput{TopicArn: aws.String(s.TopicArn)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return found, fmt.Errorf("list the subscriptions of the alarms: %w", err)
		}
		for _, subscription := range page.Subscriptions {
			if aws.ToString(subscription.SubscriptionArn) == unconfirmed {
				found.Pending++
			} else {
				found.Confirmed++
			}
		}
	}
	found.Missing = s.Parameters["SNSSubscriptionEmail"] != "" && found.Confirmed+found.Pending == 0
	return found, nil
}
