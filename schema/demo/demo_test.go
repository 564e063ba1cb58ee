package demo_test

import (
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

// registrar keeps what is registered.
type registrar struct{ services []rpc.Service }

func (r *registrar) Register(s rpc.Service) error {
	r.services = append(r.services, s)
	return nil
}

// The ids of the demo service are those of every implementation of smf.
func TestMethodIDs(t *testing.T) {
	require.EqualValues(t, 212494116, demo.SmfStorageServiceCRC)
	require.EqualValues(t, 1719559449, demo.SmfStorageGetCRC)
	require.EqualValues(t, 1792279101, demo.SmfStorageGetMethodID)
}

func TestRegister(t *testing.T) {
	var r registrar
	require.NoError(t, demo.RegisterSmfStorageServer(&r, demo.UnimplementedSmfStorageServer{}))
	require.Len(t, r.services, 1)
	service := r.services[0]
	require.Equal(t, "SmfStorage", service.Name)
	require.Equal(t, "smf_gen.demo", service.Package)
	names := make([]string, len(service.Methods))
	for i, method := range service.Methods {
		names[i] = method.Name
		require.NotZero(t, method.ID)
		require.NotNil(t, method.Handle)
		require.Error(t, method.Verify([]byte("not a FlatBuffer")))
		require.Nil(t, demo.SmfStorageService.Methods[i].Handle, "the description stays as it is")
	}
	require.Equal(t, []string{"Get", "Put", "Fire", "Forget", "SomethingElse"}, names)

	require.ErrorContains(t, demo.RegisterSmfStorageServer(&r, nil), "the implementation is nil")
}

func TestVerify(t *testing.T) {
	builder := flatbuffers.NewBuilder(0)
	builder.Finish((&demo.RequestT{Name: "Hello, smf-world!"}).Pack(builder))
	payload := builder.FinishedBytes()
	require.NoError(t, demo.VerifyRequest(payload))
	require.Equal(t, "Hello, smf-world!", string(demo.GetRootAsRequest(payload, 0).Name()))
	require.EqualError(t, demo.VerifyRequest(payload[:40]),
		"Request.name: string runs past the payload's end (at byte 20)")
}
