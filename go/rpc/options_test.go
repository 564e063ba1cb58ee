package rpc

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChooseCores(t *testing.T) {
	for _, test := range []struct {
		asked, procs, cpus int
		variable           string
		cores              int
		why                string
	}{
		{0, 1, 1, "", 1, "1 CPU"},
		{0, 2, 2, "", 1, "2 CPUs, one left for handlers that block"},
		{0, 8, 8, "", 7, "8 CPUs, one left for handlers that block"},
		{0, 2, 8, "", 1, "GOMAXPROCS is 2 of 8 CPUs, by a CPU quota or the program, one left for handlers that block"},
		{0, 3, 8, "3", 2, "GOMAXPROCS=3 is set, one left for handlers that block"},
		{0, 1, 8, "1", 1, "GOMAXPROCS=1 is set"},
		{0, 4, 4, "all", 3, "4 CPUs, one left for handlers that block"},
		{0, 5, 4, "", 4, "GOMAXPROCS is 5, one left for handlers that block"},
		{2, 2, 8, "", 2, "asked for"},
		{2, 2, 2, "2", 2, "asked for"},
		{4, 5, 2, "", 4, "asked for"},
		{2, 1, 1, "", 2, "asked for"},
	} {
		cores, why := chooseCores(test.asked, test.procs, test.cpus, test.variable)
		require.Equal(t, test.cores, cores, "%+v", test)
		require.Equal(t, test.why, why, "%+v", test)
	}
	var o ServerOptions
	cores, why := o.ChooseCores()
	require.Equal(t, o.native().Cores, cores)
	require.NotEmpty(t, why)
}
