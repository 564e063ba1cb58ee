package admin_test

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/smf-go/smf/go/admin"
	"github.com/smf-go/smf/go/rpc"
)

func ExampleNew() {
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1})
	if err != nil {
		panic(err)
	}
	defer server.Close()

	adminServer := admin.New(server, admin.Options{Version: "1.2.3"})
	listener, err := admin.Listen("0") // a port alone is one of 127.0.0.1
	if err != nil {
		panic(err)
	}
	go adminServer.Serve(listener)

	response, err := http.Get("http://" + listener.Addr().String() + "/readyz")
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	fmt.Println(response.Status)
	// Output: 503 Service Unavailable
}

// Two servers of one program in one registry.
func ExampleNewCollector() {
	registry := prometheus.NewRegistry()
	for _, name := range []string{"inner", "outer"} {
		server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1})
		if err != nil {
			panic(err)
		}
		defer server.Close()
		labelled := prometheus.WrapRegistererWith(prometheus.Labels{"server": name}, registry)
		labelled.MustRegister(admin.NewCollector(server, "1.2.3"))
	}

	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		if f.GetName() == "smf_ready" {
			fmt.Println(len(f.Metric), "servers")
		}
	}
	// Output: 2 servers
}
