package codegen

import (
	"fmt"
	"hash/crc32"
	"strings"
)

// reservedService is the service of the protocol's own methods, smf.Hello among them.
const reservedService = "smf"

// The id of a method is what peers in every language agree on: CRC-32 of the service's name
// without namespace, XOR CRC-32 of the method with the full names of its tables.

func serviceCRC(name string) uint32 { return crc32.ChecksumIEEE([]byte(name)) }

func methodCRC(signature string) uint32 { return crc32.ChecksumIEEE([]byte(signature)) }

// methodSignature is "Get:smf_gen::demo::Request:smf_gen::demo::Response".
func methodSignature(name, in, out string) string {
	colons := func(full string) string { return strings.ReplaceAll(full, ".", "::") }
	return name + ":" + colons(in) + ":" + colons(out)
}

// methodIDs are the ids of one run, by id.
type methodIDs map[uint32]string

// add notes a schema's ids. Zero is no id on the wire, and one id can mean one method only.
func (ids methodIDs) add(m *model) error {
	for _, s := range m.Services {
		for _, method := range s.Methods {
			if method.ID == 0 {
				return fmt.Errorf("method %s: its id is 0, which the wire format forbids;"+
					" rename it", method.FullName)
			}
			if other, taken := ids[method.ID]; taken {
				return fmt.Errorf("method %s: its id %d is that of %s too; rename one of them",
					method.FullName, method.ID, other)
			}
			ids[method.ID] = method.FullName
		}
	}
	return nil
}
