package demo

import "testing"

// The two verifiers say the same of everything.
func FuzzVerifyAgree(f *testing.F) {
	f.Add(RequestBytes(nil, "Hello, smf-world!"))
	f.Add(RequestBytes(nil, ""))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		err := smfDemoTables.Verify(smfDemoTableRequest, payload)
		if got := smfDemoIsRequest(payload); got != (err == nil) {
			t.Fatalf("in straight lines: %v; by the table: %v", got, err)
		}
	})
}
