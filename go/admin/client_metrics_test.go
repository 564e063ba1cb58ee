package admin

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

func TestMetricsOfClients(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(NewClientCollector()))
	eventually(t, "no client of another test is open", func() bool { return total(figures(t, registry), "smf_client_turns_total") == 0 })
	s := startServer(t, rpc.ServerOptions{Cores: 1})
	client := dialAt(t, s.address, 1) // whose bytes are all echoed
	for range 5 {
		require.NoError(t, call(t, client, idEcho, "x"))
	}
	f := figures(t, registry)
	require.Len(t, f, len(clientDescs))
	require.EqualValues(t, 1, f["smf_client_connections_open{}"])
	require.EqualValues(t, 5, f["smf_client_calls_total{}"])
	require.EqualValues(t, 5, f["smf_client_replies_total{}"])
	require.Positive(t, f["smf_client_drives_total{}"])
	require.Equal(t, f["smf_client_sent_bytes_total{}"], f["smf_client_received_bytes_total{}"], "they are echoed")
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)

	_, url := serve(t, s, Options{}) // an admin server tells of them, too
	_, body := get(t, url+"/metrics")
	require.Equal(t, len(clientDescs), strings.Count(body, "# HELP smf_client_"))
}
