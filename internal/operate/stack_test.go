package operate

import (
	"fmt"
	"testing"
)

func TestOpenWithoutARegionSaysWhatToSet(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	for _, name := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		t.Setenv(name, "/dev/null")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	_, err := Open(t.Context(), "carnation-devl")
	if want := "AWS region is missing: set AWS_REGION, or a region in your profile"; fmt.Sprint(err) != want {
		t.Errorf("Open() error = %v, want %s", err, want)
	}
}
