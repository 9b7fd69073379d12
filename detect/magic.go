package detect

import (
	"bytes"
	"unicode/utf8"
)

// magics are the beginnings of common kinds of files and the words in which
// file(1) describes them. Rules look for parts of those words.
var magics = []struct {
	off   int
	begin string
	text  string
}{
	{0, "\x89PNG\r\n\x1a\n", "PNG image data"},
	{0, "\xff\xd8\xff", "JPEG image data"},
	{0, "GIF87a", "GIF image data, version 87a"},
	{0, "GIF89a", "GIF image data, version 89a"},
	{0, "%PDF-", "PDF document, version "},
	{0, "\x7fELF\x01", "ELF 32-bit LSB executable"},
	{0, "\x7fELF\x02", "ELF 64-bit LSB executable"},
	{0, "PK\x03\x04", "Zip archive data, at least v2.0 to extract"},
	{0, "PK\x05\x06", "Zip archive data (empty)"},
	{0, "Rar!\x1a\x07", "RAR archive data"},
	{0, "7z\xbc\xaf\x27\x1c", "7-zip archive data"},
	{0, "\x1f\x8b", "gzip compressed data"},
	{0, "BZh", "bzip2 compressed data"},
	{0, "\xfd7zXZ\x00", "XZ compressed data"},
	{0, "MSCF", "Microsoft Cabinet archive data"},
	{0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Composite Document File V2 Document"},
	{0, "{\\rtf", "Rich Text Format data"},
	{0, "\xca\xfe\xba\xbe", "compiled Java class data"},
	{0, "CWS", "Macromedia Flash data (compressed)"},
	{0, "FWS", "Macromedia Flash data"},
	{0, "BM", "PC bitmap"},
	{0, "\x00\x00\x01\x00", "MS Windows icon resource"},
	{0, "RIFF", "RIFF (little-endian) data"},
	{0, "ID3", "Audio file with ID3 version 2"},
	{0, "OggS", "Ogg data"},
	{4, "ftyp", "ISO Media"},
	{0, "\x1aE\xdf\xa3", "Matroska data"},
	{0, "FLV\x01", "Macromedia Flash Video"},
	{0, "\x4c\x00\x00\x00\x01\x14\x02\x00", "MS Windows shortcut"},
	{0, "ITSF", "MS Windows HtmlHelp Data"},
	{0, "!<arch>\n", "current ar archive"},
	{257, "ustar", "POSIX tar archive"},
	{0, "<?xml", "XML 1.0 document"},
	{0, "#!/bin/sh", "POSIX shell script"},
	{0, "#!/bin/bash", "Bourne-Again shell script"},
	{0, "\xd4\xc3\xb2\xa1", "pcap capture file, microsecond ts (little-endian)"},
}

// magic describes the beginning of a file as file(1) would, for the commonest
// kinds; "" if it is not known or not enough is there.
func magic(data []byte, done bool) string {
	if len(data) == 0 {
		if done {
			return "empty"
		}
		return ""
	}
	if bytes.HasPrefix(data, []byte("MZ")) {
		if len(data) >= 0x40 {
			at := int(data[0x3c]) | int(data[0x3d])<<8
			if at+26 <= len(data) && string(data[at:at+4]) == "PE\x00\x00" {
				if data[at+24] == 0x0b && data[at+25] == 2 {
					return "PE32+ executable (console) x86-64, for MS Windows"
				}
				return "PE32 executable (GUI) Intel 80386, for MS Windows"
			}
		}
		return "MS-DOS executable"
	}
	for _, m := range magics {
		if len(data) >= m.off+len(m.begin) && string(data[m.off:m.off+len(m.begin)]) == m.begin {
			return m.text
		}
	}
	head := data[:min(len(data), 4096)]
	low := bytes.ToLower(head)
	if bytes.Contains(low, []byte("<!doctype html")) || bytes.Contains(low, []byte("<html")) {
		return "HTML document, ASCII text"
	}
	text := true
	for _, c := range head {
		if c < 32 && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != 27 || c == 127 {
			text = false
			break
		}
	}
	switch {
	case !text:
		return "data"
	case bytes.IndexFunc(head, func(r rune) bool { return r >= 0x80 }) < 0:
		return "ASCII text"
	case utf8.Valid(head):
		return "UTF-8 Unicode text"
	}
	return "ISO-8859 text"
}
