package bfbs

import "github.com/smf-go/smf/go/flatverify"

// Slots of the tables of FlatBuffers' schema of schemas, in bytes into the vtable.
const (
	schemaObjects  = 4
	schemaEnums    = 6
	schemaIdent    = 8
	schemaRoot     = 12
	schemaServices = 14
	schemaFiles    = 18

	objectName       = 4
	objectFields     = 6
	objectIsStruct   = 8
	objectAlign      = 10
	objectSize       = 12
	objectAttributes = 14
	objectDoc        = 16
	objectFile       = 18

	fieldName       = 4
	fieldType       = 6
	fieldID         = 8
	fieldOffset     = 10
	fieldInteger    = 12
	fieldReal       = 14
	fieldDeprecated = 16
	fieldRequired   = 18
	fieldKey        = 20
	fieldAttributes = 22
	fieldDoc        = 24
	fieldOptional   = 26
	fieldOffset64   = 30

	typeBase    = 4
	typeElement = 6
	typeIndex   = 8
	typeLength  = 10

	enumName       = 4
	enumValues     = 6
	enumIsUnion    = 8
	enumUnderlying = 10
	enumAttributes = 12
	enumDoc        = 14
	enumFile       = 16

	valueName  = 4
	valueValue = 6
	valueUnion = 10
	valueDoc   = 12

	serviceName       = 4
	serviceCalls      = 6
	serviceAttributes = 8
	serviceDoc        = 10
	serviceFile       = 12

	callName       = 4
	callRequest    = 6
	callResponse   = 8
	callAttributes = 10
	callDoc        = 12

	pairKey   = 4
	pairValue = 6

	fileName     = 4
	fileIncludes = 6
)

// Indexes into layout.
const (
	schemaTable = iota
	objectTable
	fieldTable
	typeTable
	enumTable
	valueTable
	serviceTable
	callTable
	pairTable
	fileTable
)

// layout lists the fields that this package reads, so that Parse can trust their offsets.
var layout = flatverify.Schema{
	schemaTable: {Name: "Schema", Fields: []flatverify.Field{
		tables("objects", schemaObjects, objectTable),
		tables("enums", schemaEnums, enumTable),
		text("file_ident", schemaIdent),
		one("root_table", schemaRoot, objectTable),
		tables("services", schemaServices, serviceTable),
		tables("fbs_files", schemaFiles, fileTable),
	}},
	objectTable: {Name: "Object", Fields: []flatverify.Field{
		text("name", objectName),
		tables("fields", objectFields, fieldTable),
		scalar("is_struct", objectIsStruct, 1),
		scalar("minalign", objectAlign, 4),
		scalar("bytesize", objectSize, 4),
		tables("attributes", objectAttributes, pairTable),
		texts("documentation", objectDoc),
		text("declaration_file", objectFile),
	}},
	fieldTable: {Name: "Field", Fields: []flatverify.Field{
		text("name", fieldName),
		one("type", fieldType, typeTable),
		scalar("id", fieldID, 2),
		scalar("offset", fieldOffset, 2),
		scalar("default_integer", fieldInteger, 8),
		scalar("default_real", fieldReal, 8),
		scalar("deprecated", fieldDeprecated, 1),
		scalar("required", fieldRequired, 1),
		scalar("key", fieldKey, 1),
		tables("attributes", fieldAttributes, pairTable),
		texts("documentation", fieldDoc),
		scalar("optional", fieldOptional, 1),
		scalar("offset64", fieldOffset64, 1),
	}},
	typeTable: {Name: "Type", Fields: []flatverify.Field{
		scalar("base_type", typeBase, 1),
		scalar("element", typeElement, 1),
		scalar("index", typeIndex, 4),
		scalar("fixed_length", typeLength, 2),
	}},
	enumTable: {Name: "Enum", Fields: []flatverify.Field{
		text("name", enumName),
		tables("values", enumValues, valueTable),
		scalar("is_union", enumIsUnion, 1),
		one("underlying_type", enumUnderlying, typeTable),
		tables("attributes", enumAttributes, pairTable),
		texts("documentation", enumDoc),
		text("declaration_file", enumFile),
	}},
	valueTable: {Name: "EnumVal", Fields: []flatverify.Field{
		text("name", valueName),
		scalar("value", valueValue, 8),
		one("union_type", valueUnion, typeTable),
		texts("documentation", valueDoc),
	}},
	serviceTable: {Name: "Service", Fields: []flatverify.Field{
		text("name", serviceName),
		tables("calls", serviceCalls, callTable),
		tables("attributes", serviceAttributes, pairTable),
		texts("documentation", serviceDoc),
		text("declaration_file", serviceFile),
	}},
	callTable: {Name: "RPCCall", Fields: []flatverify.Field{
		text("name", callName),
		one("request", callRequest, objectTable),
		one("response", callResponse, objectTable),
		tables("attributes", callAttributes, pairTable),
		texts("documentation", callDoc),
	}},
	pairTable: {Name: "KeyValue", Fields: []flatverify.Field{
		text("key", pairKey),
		text("value", pairValue),
	}},
	fileTable: {Name: "SchemaFile", Fields: []flatverify.Field{
		text("filename", fileName),
		texts("included_filenames", fileIncludes),
	}},
}

func scalar(name string, slot uint16, size uint8) flatverify.Field {
	return flatverify.Field{
		Name: name, Slot: slot, Kind: flatverify.Inline, Size: uint32(size), Align: size,
	}
}

func text(name string, slot uint16) flatverify.Field {
	return flatverify.Field{Name: name, Slot: slot, Kind: flatverify.String}
}

func texts(name string, slot uint16) flatverify.Field {
	return flatverify.Field{Name: name, Slot: slot, Kind: flatverify.StringVector}
}

func one(name string, slot uint16, table int) flatverify.Field {
	return flatverify.Field{Name: name, Slot: slot, Kind: flatverify.SubTable, Table: table}
}

func tables(name string, slot uint16, table int) flatverify.Field {
	return flatverify.Field{Name: name, Slot: slot, Kind: flatverify.TableVector, Table: table}
}
