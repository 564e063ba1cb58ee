package golang

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"get": "Get", "SmfStorage": "SmfStorage", "do_the_thing": "DoTheThing", "a1_b2": "A1B2", "_": "X", "_7": "X7",
	} {
		require.Equal(t, want, camel(in))
	}
	for in, want := range map[string]string{
		"smf_demo.fbs": "smfDemo", "7up.fbs": "schema7up", "a-b.c.fbs": "aBC", "__.fbs": "schema", "x.fbs": "x",
	} {
		require.Equal(t, want, stem(in))
	}
	for in, want := range map[string]string{"thing": "Thing", "_Thing": "Thing", "_1": "X1", "some_thing": "Some_thing"} {
		require.Equal(t, want, typeName(in))
	}
}
