package schema_test

import (
	"fmt"
	"log"

	"github.com/smf-go/smf/go/schema"
	"github.com/smf-go/smf/schema/demo"
)

// The binary schema is that of a generated package; os.ReadFile of a .bfbs does as well.
func Example() {
	s, err := schema.Read([]byte(demo.SmfDemoSchema))
	if err != nil {
		log.Fatal(err)
	}
	method, err := s.Method("SmfStorage.Get")
	if err != nil {
		log.Fatal(err)
	}
	request, err := method.In.FromJSON([]byte(`{"name": "x"}`))
	if err != nil {
		log.Fatal(err)
	}
	// message, err := client.Call(ctx, method.ID, request)
	text, err := method.In.ToJSON(request, schema.JSONOptions{Indent: "  "})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(method.ID == demo.SmfStorageGetMethodID)
	fmt.Println(string(text))
	// Output:
	// true
	// {
	//   "name": "x"
	// }
}
