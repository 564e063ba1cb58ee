package admin

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/smf-go/smf/go/rpc"
)

// NewClientCollector makes a collector of what the process's clients (rpc.Dial) do, for programs with a
// registry of their own. Clients share one core, so there is one for the process, whatever the number of
// servers.
func NewClientCollector() prometheus.Collector { return clientCollector{} }

type clientCollector struct{}

// clientDescs are all metrics that it has.
var clientDescs []*prometheus.Desc

func clientFamily(name, help string, labels ...string) *prometheus.Desc {
	desc := prometheus.NewDesc("smf_client_"+name, help, labels, nil)
	clientDescs = append(clientDescs, desc)
	return desc
}

var (
	clientConnections = clientFamily("connections_open", "Connections of the process's clients, now.")
	clientCalls       = clientFamily("calls_total", "Calls sent by the process's clients.")
	clientReplies     = clientFamily("replies_total", "Replies to the clients' calls. Calls without one wait, were given "+
		"up, or lost their connection.")
	clientReceived = clientFamily("received_bytes_total", "Bytes that clients read from connections.")
	clientSent     = clientFamily("sent_bytes_total", "Bytes that clients sent, or kept until the peer takes them.")
	clientTurns    = clientFamily("turns_total", "Turns of the clients' core. Fewer for each call as load rises.")
	clientSpins    = clientFamily("spins_total", "Looks that found nothing: CPU that is spent for latency.")
	clientDrives   = clientFamily("drives_total", "Times that a goroutine began to drive the clients' core: one for each "+
		"call that is alone, fewer under load.")
	clientLeft = clientFamily("left_to_poller_total", "Times that the clients' core was left to Go's poller, because "+
		"looking found nothing. Near the calls: servers answer slowly, and each reply costs a wake-up.")
	clientArrivals = clientFamily("arrivals_total", "Times that Go's poller found something for the clients' core.")
)

// Describe tells of every metric.
func (clientCollector) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range clientDescs {
		out <- desc
	}
}

// Collect reads the counters. They begin again when the last client was closed and another is opened.
func (clientCollector) Collect(metrics chan<- prometheus.Metric) {
	out, c := sink(metrics), rpc.ClientStats()
	out.gauge(clientConnections, float64(c.Connections))
	out.counter(clientCalls, c.Calls)
	out.counter(clientReplies, c.Replies)
	out.counter(clientReceived, c.BytesReceived)
	out.counter(clientSent, c.BytesSent)
	out.counter(clientTurns, c.Turns)
	out.counter(clientSpins, c.Spins)
	out.counter(clientDrives, c.Drives)
	out.counter(clientLeft, c.LeftToPoller)
	out.counter(clientArrivals, c.Arrivals)
}
