package golang

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen/internal/model"
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

func TestNamesOfMethods(t *testing.T) {
	s := &model.Service{}
	for _, name := range []string{"service", "get", "Get_into", "PutInto", "Into"} {
		s.Methods = append(s.Methods, &model.Method{Name: name})
	}
	require.Equal(t, []string{"Service_", "Get", "GetInto_", "PutInto", "Into"}, methodNames(s))
}

func TestAMemberWithTheNameOfTheUnionsStruct(t *testing.T) {
	names := &Names{}
	require.NoError(t, names.declare("UT", origin{"value", "a.U", "T", nil}))
	err := names.declare("UT", origin{"union", "a.U", "", nil})
	var problem *model.Error
	require.ErrorAs(t, err, &problem)
	require.Equal(t, "union a.U: its Go code would declare UT, as does that of value a.U.T", problem.What)
	require.Equal(t, "give the member another name, like OtherT: T", problem.Hint)
}

func TestArticles(t *testing.T) {
	require.Equal(t, "an Invoice", an("Invoice"))
	require.Equal(t, "an order", an("order"))
	require.Equal(t, "a Circle", an("Circle"))
}
