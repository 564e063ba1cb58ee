package bearer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/bearer"
	"github.com/smf-go/smf/go/rpc/filters/internal/filtertest"
	"github.com/smf-go/smf/schema/demo"
)

// arrived stands in for a connection that carries metadata: what a filter of the server finds in the request.
func arrived(key, value string) rpc.Filter {
	return func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		if err := call.RequestMetadata().Add(key, value); err != nil {
			return err
		}
		return next(ctx, call)
	}
}

type whoKey struct{}

func TestWhoHasNoTokenStaysOut(t *testing.T) {
	ran, who := false, any(nil)
	store := &filtertest.Store{OnGet: func(ctx context.Context, _ *demo.Request, _ *rpc.Reply) error {
		ran, who = true, ctx.Value(whoKey{})
		return nil
	}}
	verify := func(ctx context.Context, token string) (context.Context, error) {
		if _, err := bearer.Tokens("", "first", "second")(ctx, token); err != nil {
			return nil, err
		}
		if token == "second" {
			return nil, rpc.Errorf(rpc.CodePermission, "reads only")
		}
		return context.WithValue(ctx, whoKey{}, "the first"), nil
	}
	for _, c := range []struct {
		key, value, says string
		code             rpc.Code
	}{
		{"authorization", "Bearer first", "", rpc.CodeOK},
		{"authorization", "bearer first", "", rpc.CodeOK},
		{"authorization", "Bearer second", "reads only", rpc.CodePermission},
		{"authorization", "Bearer firs", "refused", rpc.CodeUnauthenticated},
		{"authorization", "Bearer firstt", "refused", rpc.CodeUnauthenticated},
		{"authorization", "Bearer ", "refused", rpc.CodeUnauthenticated},
		{"authorization", "Bearer", "does not begin", rpc.CodeUnauthenticated},
		{"authorization", "", "does not begin", rpc.CodeUnauthenticated},
		{"authorization", "Basic first", "does not begin", rpc.CodeUnauthenticated},
		{"something", "Bearer first", "level 2", rpc.CodeUnauthenticated},
	} {
		t.Run(c.key+" "+c.value, func(t *testing.T) {
			ran, who = false, nil
			seen := make(chan error, 1)
			note := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
				err := next(ctx, call)
				seen <- err
				return err
			}
			client := filtertest.Dial(t, filtertest.Serve(t, store, note, arrived(c.key, c.value), bearer.Require(verify)))
			_, err := filtertest.Get(t, client, "x")
			require.Equal(t, c.code, rpc.CodeOf(err), "%v", err)
			require.Equal(t, c.code == rpc.CodeOK, ran)
			if failure := <-seen; c.code != rpc.CodeOK {
				require.ErrorContains(t, failure, c.says)
				require.NotContains(t, failure.Error(), "firs", "no token is told")
			} else {
				require.Equal(t, "the first", who)
			}
		})
	}
	_, err := bearer.Tokens("", "first")(context.Background(), "")
	require.Error(t, err, "a token that is empty, as of a setting that was left out, lets nobody in")
	require.Panics(t, func() { bearer.Require(nil) })
	require.Panics(t, func() { bearer.Send(nil) })
}

// At level 1 tokens do not travel. Nobody gets in by that, and the caller is told why.
func TestLevelOneCarriesNoTokens(t *testing.T) {
	address := filtertest.Serve(t, &filtertest.Store{}, bearer.Require(bearer.Tokens("secret")))
	_, err := filtertest.Get(t, filtertest.Dial(t, address), "x")
	require.Equal(t, rpc.CodeUnauthenticated, rpc.CodeOf(err), "%v", err)
}

// What a client sends, and what it does where it has nothing to send.
func TestSending(t *testing.T) {
	address := filtertest.Serve(t, &filtertest.Store{})
	sent := ""
	note := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		sent = call.RequestMetadata().Get("authorization")
		return next(ctx, call)
	}
	_, err := filtertest.Get(t, filtertest.Dial(t, address, bearer.Send(bearer.Static("secret")), note), "x")
	require.NoError(t, err)
	require.Equal(t, "Bearer secret", sent)

	expired := errors.New("the issuer does not answer")
	for _, c := range []struct {
		source bearer.Source
		code   rpc.Code
	}{
		{bearer.Static(""), rpc.CodeUnauthenticated},
		{bearer.Static("two words"), rpc.CodeUnauthenticated},
		{func(context.Context) (string, error) { return "", expired }, rpc.CodeUnauthenticated},
		{func(context.Context) (string, error) { return "", rpc.Errorf(rpc.CodeUnavailable, "later") }, rpc.CodeUnavailable},
	} {
		sent = "nothing"
		_, err := filtertest.Get(t, filtertest.Dial(t, address, bearer.Send(c.source), note), "x")
		require.Equal(t, c.code, rpc.CodeOf(err), "%v", err)
		require.Equal(t, "nothing", sent)
	}

	refuse := func(context.Context, *rpc.Call, rpc.Next) error { return &rpc.Error{Code: rpc.CodeUnauthenticated} }
	_, err = filtertest.Get(t, filtertest.Dial(t, address, bearer.Send(bearer.Static("secret")), refuse), "x")
	require.ErrorContains(t, err, "level 2")
	require.Equal(t, rpc.CodeUnauthenticated, rpc.CodeOf(err))
}
