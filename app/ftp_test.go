package app

import "testing"

func ftpTalk() []piece {
	return []piece{
		tc("220-hello\r\n more\r\n220 ready\r\n"), ts("USER anonymous\r\n"), tc("331 password\r\n"), ts("PASS x@y\r\n"), tc("230 in\r\n"),
		ts("PORT 10,0,0,1,4,1\r\n"), tc("200 ok\r\n"), ts("RETR a.txt\r\n"), tc("150 opening\r\n226 done\r\n"),
		ts("PASV\r\n"), tc("227 Entering Passive Mode (10,0,0,2,8,3).\r\n"), ts("STOR b.txt\r\n"), tc("150 go\r\n226 done\r\n"),
		ts("EPSV\r\n"), tc("229 Entering (|||5000|)\r\n"), ts("QUIT\r\n"), tc("221 bye\r\n"),
	}
}

func TestFTP(t *testing.T) {
	c := talk(FTP, ftpTalk(), true, whole)
	for _, x := range []struct {
		tx   int
		f    Field
		d    Dir
		i    int
		want string
	}{
		{0, FTPCommand, ToServer, 0, "<absent>"},
		{0, FTPReply, ToClient, 0, "hello"},
		{0, FTPReply, ToClient, 2, "ready"},
		{0, FTPCompletionCode, ToClient, 1, "220"},
		{1, FTPCommand, ToServer, 0, "USER"},
		{1, FTPCommandData, ToServer, 0, "anonymous"},
		{1, FTPReply, ToClient, 0, "password"},
		{4, FTPCompletionCode, ToClient, 0, "150"},
		{4, FTPCompletionCode, ToClient, 1, "226"},
	} {
		if got := field(t, c, x.tx, x.f, x.d, x.i); got != x.want {
			t.Errorf("tx %d %v[%d] = %q, want %q", x.tx, x.f, x.i, got, x.want)
		}
	}
	want := []struct {
		listener Dir
		port     uint16
	}{{ToClient, 1025}, {ToServer, 2051}, {ToServer, 5000}}
	if len(c.Expected) != len(want) {
		t.Fatalf("%d connections are expected, want %d", len(c.Expected), len(want))
	}
	for i, w := range want {
		if e := c.Expected[i]; e.Listener != w.listener || e.Port != w.port || e.Proto != FTPData {
			t.Errorf("expected %+v, want %+v", e, w)
		}
	}

	// The data connection of the second transfer.
	data := new(Conn)
	data.Reset(NewEnv(Config{HashFiles: true}), Hints{Expected: &c.Expected[1]})
	data.Feed(ToServer, []byte("con"))
	data.Feed(ToServer, []byte("tents"))
	data.Close(ToServer)
	tx, ok := data.Transactions()[0].(*FTPDataTx)
	if !ok || tx.Command != FTPStore || string(tx.Files[0].Name) != "b.txt" || string(tx.Body(FileData, ToServer, 0).Data) != "contents" || !tx.Files[0].Hashed {
		t.Errorf("data connection: %s", dumpConn(data))
	}
}

func TestFTPLaws(t *testing.T) {
	// The pointers in Expected are as fresh as the connection.
	for _, say := range [][]piece{ftpTalk()[:9], {ts("AUTH TLS\r\n"), tc("234 go\r\n"), ts("\x16\x03\x01\x00\x02\x01\x00")}} {
		for i := range say {
			say[i].data = append([]byte(nil), say[i].data...)
		}
		checkPrefixes(t, FTP, say)
		checkGaps(t, FTP, say)
	}
	checkCuts(t, FTP, ftpTalk()[:5], 40)
	checkCuts(t, FTP, []piece{ts("AUTH TLS\r\n"), tc("234 go\r\n"), ts("\x16\x03\x01\x00\x02\x01\x00")}, 20)
}

func TestFTPLongLines(t *testing.T) {
	say := []piece{ts("USER " + string(make([]byte, 5000)) + "\r\nNOOP\r\n"), tc("200 " + string(make([]byte, 5000)) + "\r\n200 ok\r\n")}
	c := talk(FTP, say, true, whole)
	if e := c.Transactions()[0].Base().Events; len(e) != 2 || e[0] != ftpLongRequest || e[1] != ftpLongResponse {
		t.Errorf("events %v", e)
	}
	checkCuts(t, FTP, say, 20)
}

func FuzzFTP(f *testing.F) { fuzzStream(f, FTP, ftpTalk()[:5]) }
