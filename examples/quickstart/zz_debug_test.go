package main
import ("testing";"time";"context";"sort";"fmt";"os";"strconv")
func TestDebug(t *testing.T){
 calls,_:=readTrace("/work/shared/data/azure_llm/2023_conv.csv.gz")
 l:=limits
 if v:=os.Getenv("WALL"); v!="" { n,_:=strconv.Atoi(v); l.Wall=time.Duration(n)*time.Second }
 tr:=fit(calls,l)
 fs:=fakes(2,tr.Span)
 n,_:=listen(fs,0)
 start:=time.Now().Add(50*time.Millisecond)
 n.serve(2,start,tr.Speed)
 srv:=n.clients()[0]
 r:=&Replay{Traffic:tr,Start:start}
 rows:=[]Row{{Name:"bare"}}
 var lag []float64
 _=lag
 type rec struct{at, lag, took float64; err string}
 recs:=make([]rec,0,len(tr.Calls))
 ch:=make(chan rec,len(tr.Calls))
 b:=bare(fs[0],srv)
 r.Run(context.Background(),rows,[]Ask{func(ctx context.Context,req ChatRequest)(*ChatResponse,string,float64,error){
   p:=ctx.Value(passageKey{}).(*passage)
   var i int; fmt.Sscanf(p.id,"call-%d",&i)
   due:=start.Add(r.clock(tr.Calls[i].At))
   t0:=time.Now()
   res,m,c,err:=b(ctx,req)
   e:=""; if err!=nil{e=err.Error()}
   ch<-rec{tr.Calls[i].At.Seconds(),t0.Sub(due).Seconds()*1000,time.Since(t0).Seconds()*1000,e}
   return res,m,c,err
 }})
 close(ch)
 for x:=range ch{recs=append(recs,x)}
 sort.Slice(recs,func(i,j int)bool{return recs[i].at<recs[j].at})
 for w:=0;w<12;w++{
  var lg,tk []float64; errs:=map[string]int{}
  for _,x:=range recs{ if int(x.at/300)==w {lg=append(lg,x.lag);tk=append(tk,x.took); if x.err!=""{ e:=x.err; if len(e)>40{e=e[len(e)-40:]}; errs[e]++}}}
  if len(lg)==0 {continue}
  sort.Float64s(lg);sort.Float64s(tk)
  fmt.Printf("w%d n=%d lag p50 %.2f p99 %.2f max %.1f took p50 %.2f p90 %.2f max %.2f ms %v\n",w,len(lg),lg[len(lg)/2],lg[len(lg)*99/100],lg[len(lg)-1],tk[len(tk)/2],tk[len(tk)*9/10],tk[len(tk)-1],errs)
 }
 n.Close()
}
