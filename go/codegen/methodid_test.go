package codegen

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The ids of the demo service are those of every implementation of smf.
func TestMethodID(t *testing.T) {
	signature := methodSignature("Get", "smf_gen.demo.Request", "smf_gen.demo.Response")
	require.Equal(t, "Get:smf_gen::demo::Request:smf_gen::demo::Response", signature)
	require.Equal(t, uint32(212494116), serviceCRC("SmfStorage"))
	require.Equal(t, uint32(1719559449), methodCRC(signature))
	require.Equal(t, uint32(1792279101), serviceCRC("SmfStorage")^methodCRC(signature))
}

func TestMethodIDZeroAndTwice(t *testing.T) {
	service := func(ids ...uint32) *model {
		s := serviceModel{}
		for _, id := range ids {
			s.Methods = append(s.Methods, methodModel{ID: id, FullName: "S.Go"})
		}
		return &model{Services: []serviceModel{s}}
	}
	require.NoError(t, make(methodIDs).add(service(1, 2)))
	require.ErrorContains(t, make(methodIDs).add(service(1, 0)), "its id is 0")
	require.ErrorContains(t, make(methodIDs).add(service(1, 1)), "its id 1 is that of S.Go too")
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"get": "Get", "SmfStorage": "SmfStorage", "do_the_thing": "DoTheThing", "a1_b2": "A1B2",
	} {
		require.Equal(t, want, camel(in))
	}
	for in, want := range map[string]string{
		"smf_demo": "smfDemo", "7up": "schema7up", "a-b.c": "aBC", "__": "schema",
	} {
		require.Equal(t, want, lowerCamel(in))
	}
}
