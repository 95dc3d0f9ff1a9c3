package operate

import (
	"context"
	"net"
	"net/url"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// configuration loads the usual AWS configuration. Local AWS has no endpoints for FIPS, dual stack or an account; with such a setting,
// clients would refuse to call it.
func configuration(ctx context.Context) (aws.Config, error) {
	if !onThisMachine(os.Getenv("AWS_ENDPOINT_URL")) {
		return config.LoadDefaultConfig(ctx)
	}
	return config.LoadDefaultConfig(ctx, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateDisabled),
		config.WithUseDualStackEndpoint(aws.DualStackEndpointStateDisabled), config.WithAccountIDEndpointMode(aws.AccountIDEndpointModeDisabled))
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
