package rpc_test

import (
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// docs/errors.md tells what each code is to those who know HTTP's and gRPC's.
func TestThePageOfErrorsIsTrue(t *testing.T) {
	page, err := os.ReadFile("../../docs/errors.md")
	require.NoError(t, err)
	source, err := os.ReadFile("code.go")
	require.NoError(t, err)
	codes := map[string]string{} // name by number
	for _, m := range regexp.MustCompile(`(?m)^\t(Code\w+)\s.*= (\d{3})\b`).FindAllStringSubmatch(string(source), -1) {
		codes[m[2]] = m[1]
	}
	require.Greater(t, len(codes), 10)
	theirs := map[string]bool{}
	for _, name := range strings.Fields("OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied " +
		"ResourceExhausted FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable DataLoss Unauthenticated") {
		theirs[name] = false
	}
	// HTTP has another text for it than Go, or none.
	others := map[string]string{"408": "Request Timeout, or Gateway Timeout", "413": "Content Too Large", "499": "499, of nginx"}
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d{3}) \\| `(\\w+)` \\|.*\\|.*\\| (.*) \\| (.*) \\|$").FindAllStringSubmatch(string(page), -1) {
		require.Equal(t, codes[row[1]], row[2])
		delete(codes, row[1])
		for _, name := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[3], -1) {
			require.Contains(t, theirs, name[1])
			theirs[name[1]] = true
		}
		want, other := others[row[1]]
		if number, _ := strconv.Atoi(row[1]); !other {
			want = http.StatusText(number)
		}
		require.Equal(t, want, row[4], row[1])
	}
	require.Empty(t, codes, "codes that the page does not have")
	for name, told := range theirs {
		require.True(t, told, "gRPC's %s is nobody's", name)
	}
}
