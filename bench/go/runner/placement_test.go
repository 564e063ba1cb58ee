package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSplitsAreCounted(t *testing.T) {
	r := rounds{{Connections: []uint64{2, 2}}, nil, {Connections: []uint64{1, 3}}, {Connections: []uint64{3, 1}}}
	require.Equal(t, "2:2 1 times, 3:1 2 times", splits(r))
	require.Equal(t, "", splits(rounds{nil}))
}

// One bad round of fifty misses the bar, though the median does not.
func TestTheFullestCoreOfAllRoundsCounts(t *testing.T) {
	even := &measurement{Connections: []uint64{2, 2}}
	r := rounds{even, even, even, {Connections: []uint64{4, 0}}}
	require.Equal(t, 2.0, r.stat(fullest).Median)
	require.False(t, target{Bar: 2, Value: r.worst(fullest)}.met())
	require.True(t, target{Bar: 2, Value: r[:3].worst(fullest)}.met())
	require.False(t, target{Bar: 2, Value: rounds{}.worst(fullest)}.met())
}

func TestWhoRunsWhere(t *testing.T) {
	b := &bench{cpus: []int{0, 3}}
	require.Equal(t, "server on CPU 0, load client on CPU 3", b.whereRun(contenders[smfGo]))
	require.Contains(t, b.whereRun(contenders[smfGoTwo]), "share the CPUs 0 and 3")
	b.cpus = append(b.cpus, 5)
	require.Equal(t, "server on CPU 0 and 3, load client on CPU 5", b.whereRun(contenders[smfGoTwo]))
}

func TestConnectionsAreRead(t *testing.T) {
	counters := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/stats", r.URL.Path)
		_, _ = w.Write([]byte(`{"Version":"","Cores":[{"Connections":3,"Requests":9},{"Connections":1}]}`))
	}))
	defer counters.Close()
	s := &server{admin: counters.URL}
	all, err := s.connections(context.Background())
	require.NoError(t, err)
	require.Equal(t, []uint64{3, 1}, all)
}
