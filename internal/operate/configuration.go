package operate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Configuration loads the usual AWS configuration, which must have a region. Local AWS has no endpoints for FIPS, dual stack or an account;
// with such a setting, clients would refuse to call it.
func Configuration(ctx context.Context) (aws.Config, error) {
	var options []func(*config.LoadOptions) error
	if onThisMachine(os.Getenv("AWS_ENDPOINT_URL")) {
		options = append(options, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateDisabled),
			config.WithUseDualStackEndpoint(aws.DualStackEndpointStateDisabled), config.WithAccountIDEndpointMode(aws.AccountIDEndpointModeDisabled))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, fmt.Errorf("load AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return cfg, errors.New("AWS region is missing: set AWS_REGION, or a region in your profile")
	}
	return cfg, nil
}

// OnThisMachine tells whether every service that a change of a stack calls has its endpoint on this machine, so that nothing outside of it
// can change.
func OnThisMachine(cfg aws.Config) bool {
	for _, endpoint := range []*string{
		sfn.NewFromConfig(cfg).Options().BaseEndpoint, sqs.NewFromConfig(cfg).Options().BaseEndpoint, s3.NewFromConfig(cfg).Options().BaseEndpoint,
	} {
		if !onThisMachine(aws.ToString(endpoint)) {
			return false
		}
	}
	return true
}

// onThisMachine tells whether an address is on the loopback interface.
func onThisMachine(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
