package ratelimit_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/internal/filtertest"
	"github.com/smf-go/smf/go/rpc/filters/ratelimit"
)

// A caller in a loop gets its burst, and others methods are none the worse for it. The rate is so low that nothing
// comes back while the test runs.
func TestACallerInALoopGetsItsBurst(t *testing.T) {
	const day = 1.0 / (24 * 3600)
	client := filtertest.Dial(t, filtertest.Serve(t, &filtertest.Store{}, ratelimit.PerMethod(day, 5)))
	allowed := 0
	for range 50 {
		_, err := filtertest.Get(t, client, "x")
		if err == nil {
			allowed++
			continue
		}
		require.Equal(t, rpc.CodeLimit, rpc.CodeOf(err), "%v", err)
	}
	require.Equal(t, 5, allowed)
	_, err := filtertest.Put(t, client, "x")
	require.NoError(t, err, "another method has its own")
	for _, wrong := range []func(){func() { ratelimit.PerMethod(0, 1) }, func() { ratelimit.PerMethod(1, 0) }, func() { ratelimit.PerMethod(-1, 1) }} {
		require.Panics(t, wrong)
	}
}

// In a client, too; the error says when it is worth trying again.
func TestTheErrorSaysHowLongToWait(t *testing.T) {
	client := filtertest.Dial(t, filtertest.Serve(t, &filtertest.Store{}), ratelimit.PerMethod(1.0/3600, 1))
	_, err := filtertest.Get(t, client, "x")
	require.NoError(t, err)
	_, err = filtertest.Get(t, client, "x")
	var failure *rpc.Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, rpc.CodeLimit, failure.Code)
	require.False(t, failure.MayHaveRun)
	require.Greater(t, failure.RetryAfter, 50*time.Minute)
	require.LessOrEqual(t, failure.RetryAfter, time.Hour)
}

// What was refused has taken nothing: a rate of calls passes however many are refused beside it.
func TestRefusedCallsTakeNothing(t *testing.T) {
	client := filtertest.Dial(t, filtertest.Serve(t, &filtertest.Store{}, ratelimit.PerMethod(200, 1)))
	allowed := 0
	for until := time.Now().Add(filtertest.Patience); allowed < 10 && time.Now().Before(until); {
		if _, err := filtertest.Get(t, client, "x"); err == nil {
			allowed++
		}
	}
	require.Equal(t, 10, allowed)
}
