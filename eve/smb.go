package eve

import (
	"github.com/garita/garita/app"
)

var smb1Commands = map[uint16]string{
	0x00: "CREATE_DIRECTORY", 0x01: "DELETE_DIRECTORY", 0x02: "OPEN", 0x03: "CREATE", 0x04: "CLOSE", 0x05: "FLUSH",
	0x06: "DELETE", 0x07: "RENAME", 0x08: "QUERY_INFORMATION", 0x09: "SET_INFORMATION", 0x0a: "READ", 0x0b: "WRITE",
	0x0c: "LOCK_BYTE_RANGE", 0x0d: "UNLOCK_BYTE_RANGE", 0x0e: "CREATE_TEMPORARY", 0x0f: "CREATE_NEW",
	0x10: "CHECK_DIRECTORY", 0x11: "PROCESS_EXIT", 0x12: "SEEK", 0x13: "LOCK_AND_READ", 0x14: "WRITE_AND_UNLOCK",
	0x1d: "WRITE_RAW", 0x22: "SET_INFORMATION2", 0x23: "QUERY_INFORMATION2", 0x24: "LOCKING_ANDX", 0x25: "TRANS",
	0x26: "TRANS_SECONDARY", 0x2b: "ECHO", 0x2c: "WRITE_AND_CLOSE", 0x2d: "OPEN_ANDX", 0x2e: "READ_ANDX",
	0x2f: "WRITE_ANDX", 0x32: "TRANS2", 0x33: "TRANS2_SECONDARY", 0x34: "FIND_CLOSE2", 0x71: "TREE_DISCONNECT",
	0x72: "NEGOTIATE_PROTOCOL", 0x73: "SESSION_SETUP_ANDX", 0x74: "LOGOFF_ANDX", 0x75: "TREE_CONNECT_ANDX",
	0x80: "QUERY_INFO_DISK", 0x81: "SEARCH", 0x82: "FIND", 0x83: "FIND_UNIQUE", 0x84: "FIND_CLOSE", 0xa0: "NT_TRANS",
	0xa1: "NT_TRANS_SECONDARY", 0xa2: "NT_CREATE_ANDX", 0xa4: "NT_CANCEL", 0xa5: "NT_RENAME",
	0xc0: "OPEN_PRINT_FILE", 0xc1: "WRITE_PRINT_FILE", 0xc2: "CLOSE_PRINT_FILE", 0xc3: "GET_PRINT_QUEUE",
	0xd8: "READ_BULK", 0xd9: "WRITE_BULK", 0xda: "WRITE_BULK_DATA", 0xff: "NONE",
}

var smb2Commands = [...]string{
	"NEGOTIATE_PROTOCOL", "SESSION_SETUP", "SESSION_LOGOFF", "TREE_CONNECT", "TREE_DISCONNECT", "CREATE", "CLOSE",
	"FLUSH", "READ", "WRITE", "LOCK", "IOCTL", "CANCEL", "KEEPALIVE", "FIND", "CHANGE_NOTIFY", "GET_INFO", "SET_INFO",
	"OPLOCK_BREAK",
}

var smbDialects = map[uint16]string{
	0x0202: "2.02", 0x0210: "2.10", 0x0222: "2.22", 0x0224: "2.24", 0x02ff: "2.??", 0x0300: "3.00", 0x0302: "3.02",
	0x0310: "3.10", 0x0311: "3.11",
}

// smbStatus are the names of status codes (MS-ERREF §2.3.1) that occur often.
var smbStatus = map[uint32]string{
	0x00000000: "STATUS_SUCCESS", 0x00000103: "STATUS_PENDING", 0x00000105: "STATUS_MORE_ENTRIES",
	0x0000010c: "STATUS_NOTIFY_ENUM_DIR", 0x80000005: "STATUS_BUFFER_OVERFLOW", 0x80000006: "STATUS_NO_MORE_FILES",
	0x8000002d: "STATUS_STOPPED_ON_SYMLINK", 0xc0000001: "STATUS_UNSUCCESSFUL", 0xc0000002: "STATUS_NOT_IMPLEMENTED",
	0xc0000003: "STATUS_INVALID_INFO_CLASS", 0xc0000008: "STATUS_INVALID_HANDLE", 0xc000000d: "STATUS_INVALID_PARAMETER",
	0xc000000e: "STATUS_NO_SUCH_DEVICE", 0xc000000f: "STATUS_NO_SUCH_FILE", 0xc0000010: "STATUS_INVALID_DEVICE_REQUEST",
	0xc0000011: "STATUS_END_OF_FILE", 0xc0000016: "STATUS_MORE_PROCESSING_REQUIRED", 0xc0000022: "STATUS_ACCESS_DENIED",
	0xc0000023: "STATUS_BUFFER_TOO_SMALL", 0xc0000033: "STATUS_OBJECT_NAME_INVALID",
	0xc0000034: "STATUS_OBJECT_NAME_NOT_FOUND", 0xc0000035: "STATUS_OBJECT_NAME_COLLISION",
	0xc0000039: "STATUS_OBJECT_PATH_INVALID", 0xc000003a: "STATUS_OBJECT_PATH_NOT_FOUND",
	0xc0000043: "STATUS_SHARING_VIOLATION", 0xc0000054: "STATUS_FILE_LOCK_CONFLICT", 0xc0000055: "STATUS_LOCK_NOT_GRANTED",
	0xc0000056: "STATUS_DELETE_PENDING", 0xc0000061: "STATUS_PRIVILEGE_NOT_HELD", 0xc0000064: "STATUS_NO_SUCH_USER",
	0xc000006a: "STATUS_WRONG_PASSWORD", 0xc000006d: "STATUS_LOGON_FAILURE", 0xc000006e: "STATUS_ACCOUNT_RESTRICTION",
	0xc0000071: "STATUS_PASSWORD_EXPIRED", 0xc0000072: "STATUS_ACCOUNT_DISABLED", 0xc000007f: "STATUS_DISK_FULL",
	0xc000009a: "STATUS_INSUFFICIENT_RESOURCES", 0xc00000ac: "STATUS_PIPE_NOT_AVAILABLE", 0xc00000b0: "STATUS_PIPE_DISCONNECTED",
	0xc00000b5: "STATUS_IO_TIMEOUT", 0xc00000ba: "STATUS_FILE_IS_A_DIRECTORY", 0xc00000bb: "STATUS_NOT_SUPPORTED",
	0xc00000c9: "STATUS_NETWORK_NAME_DELETED", 0xc00000ca: "STATUS_NETWORK_ACCESS_DENIED", 0xc00000cc: "STATUS_BAD_NETWORK_NAME",
	0xc0000101: "STATUS_DIRECTORY_NOT_EMPTY", 0xc0000103: "STATUS_NOT_A_DIRECTORY", 0xc0000120: "STATUS_CANCELLED",
	0xc0000128: "STATUS_FILE_CLOSED", 0xc000019c: "STATUS_FS_DRIVER_REQUIRED", 0xc0000203: "STATUS_USER_SESSION_DELETED",
	0xc0000225: "STATUS_NOT_FOUND", 0xc0000257: "STATUS_PATH_NOT_COVERED", 0xc000035c: "STATUS_NETWORK_SESSION_EXPIRED",
}

func smbObject(o *object, t *app.SMBTx) {
	o.open("smb")
	o.uint("id", t.ID+1)
	o.key("dialect")
	switch name, ok := smbDialects[t.Dialect]; {
	case t.Version == 1 && !ok:
		o.b = append(o.b, `"NT LM 0.12"`...)
	case ok:
		o.b = appendString(o.b, name)
	default:
		o.b = append(o.b, `"unknown"`...)
	}
	o.key("command")
	o.b = append(o.b, '"')
	if t.Version == 1 {
		o.b = append(o.b, "SMB1_COMMAND_"...)
		if n, ok := smb1Commands[t.Command]; ok {
			o.b = append(o.b, n...)
		} else {
			o.b = appendUint(append(o.b, "UNKNOWN-"...), uint64(t.Command))
		}
	} else {
		o.b = append(o.b, "SMB2_COMMAND_"...)
		if int(t.Command) < len(smb2Commands) {
			o.b = append(o.b, smb2Commands[t.Command]...)
		} else {
			o.b = appendUint(append(o.b, "UNKNOWN-"...), uint64(t.Command))
		}
	}
	o.b = append(o.b, '"')
	if t.Answered {
		o.key("status")
		if n, ok := smbStatus[t.Status]; ok {
			o.b = appendString(o.b, n)
		} else {
			o.b = append(o.b, '"')
			o.b = append(appendHex(o.b, t.Status), '"')
		}
		o.key("status_code")
		o.b = append(o.b, '"')
		o.b = append(appendHex(o.b, t.Status), '"')
	}
	o.uint("session_id", t.Session)
	o.uint("tree_id", uint64(t.Tree))
	switch {
	case t.Share != nil:
		o.bytes("share", t.Share)
	case t.NamedPipe != nil:
		o.bytes("named_pipe", t.NamedPipe)
		if t.Version == 2 {
			o.str("share_type", "PIPE")
		}
	}
	switch create := t.Version == 1 && t.Command == 0xa2 || t.Version == 2 && t.Command == 5; {
	case len(t.Filename) > 0:
		o.bytes("filename", t.Filename)
	case create:
		o.str("filename", "<share_root>")
	}
	if t.User != nil || t.Domain != nil || t.Host != nil {
		o.open("ntlmssp")
		o.bytes("domain", t.Domain)
		o.bytes("user", t.User)
		o.bytes("host", t.Host)
		o.close()
	}
	if t.Call != nil {
		smbCall(o, t.Call)
	}
	o.close()
}

// smbCall describes a call of DCE/RPC that goes through a pipe.
func smbCall(o *object, c *app.DCERPCCall) {
	o.open("dcerpc")
	o.str("request", dcerpcTypeName(c.Type))
	if c.Answered {
		o.str("response", dcerpcTypeName(c.RespType))
	} else {
		o.str("response", "UNREPLIED")
	}
	switch c.Type {
	case 0:
		o.uint("opnum", uint64(c.Opnum))
		o.open("req")
		o.uint("frag_cnt", uint64(c.Fragments[app.ToServer]))
		o.uint("stub_data_size", uint64(c.StubSize(app.ToServer)))
		o.close()
		if len(c.Interfaces) > 0 {
			o.openArray("interfaces")
			for i := range c.Interfaces {
				x := &c.Interfaces[i]
				o.item()
				o.open("")
				o.uuid("uuid", &x.UUID)
				o.version("version", x.Major, x.Minor)
				o.close()
			}
			o.closeArray()
		}
		if c.Answered && c.RespType == 2 {
			o.open("res")
			o.uint("frag_cnt", uint64(c.Fragments[app.ToClient]))
			o.uint("stub_data_size", uint64(c.StubSize(app.ToClient)))
			o.close()
		}
	case 11, 14:
		if len(c.Interfaces) > 0 {
			o.openArray("interfaces")
			for i := range c.Interfaces {
				x := &c.Interfaces[i]
				o.item()
				o.open("")
				o.uuid("uuid", &x.UUID)
				o.version("version", x.Major, x.Minor)
				if x.Acked {
					o.uint("ack_result", uint64(x.Result))
					o.uint("ack_reason", 0)
				}
				o.close()
			}
			o.closeArray()
		}
	}
	o.uint("call_id", uint64(c.CallID))
	o.close()
}

// appendHex appends a number as 0x… without leading zeros.
func appendHex(b []byte, v uint32) []byte {
	b = append(b, '0', 'x')
	any := false
	for s := 28; s >= 0; s -= 4 {
		if d := v >> s & 15; d != 0 || any || s == 0 {
			b = append(b, hexDigits[d])
			any = true
		}
	}
	return b
}

var nfs3Procedures = [...]string{
	"NULL", "GETATTR", "SETATTR", "LOOKUP", "ACCESS", "READLINK", "READ", "WRITE", "CREATE", "MKDIR", "SYMLINK", "MKNOD",
	"REMOVE", "RMDIR", "RENAME", "LINK", "READDIR", "READDIRPLUS", "FSSTAT", "FSINFO", "PATHCONF", "COMMIT",
}

var nfsStatus = map[uint32]string{
	0: "OK", 1: "ERR_PERM", 2: "ERR_NOENT", 5: "ERR_IO", 6: "ERR_NXIO", 13: "ERR_ACCES", 17: "ERR_EXIST", 18: "ERR_XDEV",
	19: "ERR_NODEV", 20: "ERR_NOTDIR", 21: "ERR_ISDIR", 22: "ERR_INVAL", 27: "ERR_FBIG", 28: "ERR_NOSPC", 30: "ERR_ROFS",
	31: "ERR_MLINK", 63: "ERR_NAMETOOLONG", 66: "ERR_NOTEMPTY", 69: "ERR_DQUOT", 70: "ERR_STALE", 71: "ERR_REMOTE",
	10001: "ERR_BADHANDLE", 10002: "ERR_NOT_SYNC", 10003: "ERR_BAD_COOKIE", 10004: "ERR_NOTSUPP", 10005: "ERR_TOOSMALL",
	10006: "ERR_SERVERFAULT", 10007: "ERR_BADTYPE", 10008: "ERR_JUKEBOX",
}

func nfsObject(o *object, t *app.NFSTx) {
	o.open("rpc")
	o.uint("xid", uint64(t.XID))
	if t.Answered {
		o.str("status", "ACCEPTED")
	}
	o.close()
	o.open("nfs")
	o.uint("version", uint64(t.Version))
	o.key("procedure")
	if len(t.Procedures) > 0 && t.Version == 3 && int(t.Procedures[0]) < len(nfs3Procedures) {
		o.b = appendString(o.b, nfs3Procedures[t.Procedures[0]])
	} else {
		n := uint64(0)
		if len(t.Procedures) > 0 {
			n = uint64(t.Procedures[0])
		}
		o.b = append(appendUint(append(o.b, '"'), n), '"')
	}
	o.bytes("filename", t.Filename)
	o.uint("id", t.ID+1)
	o.bool("file_tx", len(t.Files) > 0)
	if t.Answered {
		o.str("type", "response")
		o.key("status")
		o.b = appendNamed(o.b, nfsStatus, t.Status)
	} else {
		o.str("type", "request")
	}
	o.close()
}
