package admin_test

import (
	"fmt"
	"net/http"

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
