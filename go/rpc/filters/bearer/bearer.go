// Package bearer is two filters for tokens, as RFC 6750 has them: a client's that sends one with every
// call, and a server's that asks for one.
//
// A token is metadata, with the key "authorization" and the value "Bearer …", and metadata travels at level 2 of the
// wire format. At level 1 there is none: every call is answered with 401. Whoever reads the connection reads the
// token.
package bearer

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"

	"github.com/smf-go/smf/go/rpc"
)

const (
	key    = "authorization"
	scheme = "Bearer "
)

// Verify decides about a token. The context that it returns is what handlers see: put into it who has called.
// An error refuses the call: an *rpc.Error with its own code and message, any other one with 401 and without
// saying why. It is called for every call, by several goroutines; it must not compare secrets with ==, whose
// time tells how much is right: see Tokens.
type Verify func(ctx context.Context, token string) (context.Context, error)

var (
	errRefused = errors.New("bearer: the token is not one of those that are accepted")
	errNone    = errors.New("bearer: the token is empty")
)

// Tokens accepts the tokens that are given and no others, in a time that does not depend on which one is
// tried. Empty ones are left out: nobody comes in with nothing.
func Tokens(tokens ...string) Verify {
	accepted := make([][sha256.Size]byte, 0, len(tokens))
	for _, t := range tokens {
		if t != "" {
			accepted = append(accepted, sha256.Sum256([]byte(t)))
		}
	}
	return func(ctx context.Context, token string) (context.Context, error) {
		sum, found := sha256.Sum256([]byte(token)), 0 // of one size, whatever the token's is
		for i := range accepted {
			found |= subtle.ConstantTimeCompare(sum[:], accepted[i][:])
		}
		if found == 0 {
			return nil, errRefused
		}
		return ctx, nil
	}
}

// Require makes a server's filter that lets calls through whose token verify accepts, and refuses the
// others with 401: they are not run, and their payload is not looked at. Put it outermost. It panics
// when verify is nil.
//
// Cost: what verify costs; Tokens: some 100 ns and no allocation.
func Require(verify Verify) rpc.Filter {
	if verify == nil {
		panic("bearer: Require wants a function that verifies tokens; Tokens makes one")
	}
	return func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		token, err := tokenOf(call.RequestMetadata())
		if err != nil {
			return err
		}
		inside, err := verify(ctx, token)
		if err != nil {
			return refused(err)
		}
		if inside == nil {
			inside = ctx
		}
		return next(inside, call)
	}
}

func tokenOf(m *rpc.Metadata) (string, error) {
	if !m.Has(key) {
		return "", rpc.Errorf(rpc.CodeUnauthenticated, "the call has no bearer token (metadata %q); metadata travels at level 2 "+
			"of the wire format only, so callers need level 2", key)
	}
	value := m.Get(key)
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", rpc.Errorf(rpc.CodeUnauthenticated, "metadata %q does not begin with %q", key, scheme)
	}
	token := strings.TrimSpace(value[len(scheme):])
	if token == "" {
		return "", refused(errNone)
	}
	return token, nil
}

func refused(err error) error {
	var own *rpc.Error
	if errors.As(err, &own) {
		return err
	}
	return &rpc.Error{Code: rpc.CodeUnauthenticated, Message: "the bearer token was refused", Cause: err}
}

// Source gives the token for a call: a constant one (Static), or one that is fetched and renewed. Several goroutines call it.
// An error fails the call before it is sent, with 401 unless it is an *rpc.Error.
type Source func(ctx context.Context) (token string, err error)

// Static is always the same token.
func Static(token string) Source {
	return func(context.Context) (string, error) { return token, nil }
}

// Send makes a client's filter that sends a token with every call. It panics when source is nil.
//
// At level 1 of the wire format the token stays at home; a server that requires one answers 401, and the error's message
// then says what is missing.
//
// Cost: one allocation, of the metadata's value.
func Send(source Source) rpc.Filter {
	if source == nil {
		panic("bearer: Send wants a source of tokens; Static makes one")
	}
	return func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		token, err := source(ctx)
		if err == nil && (token == "" || strings.ContainsAny(token, " \t\r\n")) {
			err = errors.New("bearer: a token has no white space, and at least one byte")
		}
		if err == nil {
			err = call.RequestMetadata().Set(key, scheme+token)
		}
		if err != nil {
			return unsent(err)
		}
		return explained(next(ctx, call))
	}
}

func unsent(err error) error {
	var own *rpc.Error
	if errors.As(err, &own) {
		return err
	}
	return &rpc.Error{Code: rpc.CodeUnauthenticated, Message: "there is no token to call with: " + err.Error(), Cause: err}
}

// explained says more of a 401 that says nothing, as those of level 1 do: errors have their messages at
// level 2.
func explained(err error) error {
	if err == nil {
		return nil
	}
	var failure *rpc.Error
	if !errors.As(err, &failure) || failure.Code != rpc.CodeUnauthenticated || failure.Message != "" {
		return err
	}
	return &rpc.Error{Code: rpc.CodeUnauthenticated, MayHaveRun: failure.MayHaveRun, Cause: err,
		Message: "the server wants a bearer token; tokens are metadata, which travels at level 2 of the wire format only"}
}
